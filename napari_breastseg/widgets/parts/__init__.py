"""Qt parts all tabs are made of: fields, jobs and their bar, shortcuts, charts, model picker."""

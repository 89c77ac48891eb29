"""Qt parts all steps are made of: fields, jobs and their bar, shortcuts, charts, model picker."""

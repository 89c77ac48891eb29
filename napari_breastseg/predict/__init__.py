"""From an exam and a model to a draft: probability, threshold, uncertainty, a worklist's drafts."""

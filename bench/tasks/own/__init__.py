"""One's own labelled recordings as a task: tables, folders per class, Kaldi directories."""

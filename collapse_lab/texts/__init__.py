"""Turn texts into tokens: tokenizers, and pretrained language models that come in packages."""

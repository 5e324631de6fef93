"""Texts as tokens: tokenizers, and pretrained language models that come in packages."""

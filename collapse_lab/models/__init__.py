"""A LightningModule per generative family; families never import each other."""

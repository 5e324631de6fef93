"""The generative families, a LightningModule each; families never import each other."""

"""The generative families; families never import each other.

Those that gradients train are LightningModules, and those that have a closed form are plain modules of torch.
"""

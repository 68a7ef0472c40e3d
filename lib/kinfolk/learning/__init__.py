"""How encoders are trained: their shape, the loss, the augmentation, the loop, and how well they retrieve."""

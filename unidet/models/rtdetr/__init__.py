"""RT-DETR: a transformer detector over multi-scale features of a convolutional encoder."""

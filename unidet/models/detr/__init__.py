"""DETR: a transformer detector on the last feature map of a ResNet."""

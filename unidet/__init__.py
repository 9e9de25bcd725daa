"""Open-world object detection studies in pure Jittor (UniDetector, CVPR 2023)."""

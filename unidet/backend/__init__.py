"""Bring-up of Jittor: toolchain, build, threads, compile cache."""

"""Networks that `unidet trace` runs, one module each, named as on the command line.

Such a module may import Jittor (it is imported when it is asked for) and has

    build(weights: Weights) -> network
        The network with official settings, its weights loaded strictly, ready for inference.
    forward(network, inputs: Inputs) -> dict[str, np.ndarray]
        Every tensor of an inference that has a name in the official code's recordings.
    train(network, inputs: Inputs) -> tuple[dict[str, np.ndarray], jt.Var | dict[str, jt.Var]]
        The same of a training step, its losses as `loss/NAME`, and the total loss, from which
        gradients are taken; of several steps one for each, by what stands in front of its names.
        A network that cannot be trained lacks it.

and is listed in `unidet.pipelines.traces.models.MODELS`.
"""

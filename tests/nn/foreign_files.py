"""State dicts with the names and shapes of public checkpoints, from networks of MONAI."""

import torch
from torch import nn


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def randomise(module, seed=3):
    """Give every parameter other numbers than those it starts with."""
    with torch.no_grad():
        noise = rng(seed)
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=noise) * 0.1)
    return module.eval()


def monai_swin(width=12, heads=(3, 3, 6, 12), window=4, patch_norm=False, **more):
    """MONAI's encoder of SwinUNETR, random."""
    from monai.networks.nets.swin_unetr import SwinTransformer

    settings = {"depths": (2, 2, 2, 2), "in_chans": 1, "qkv_bias": True, **more}
    return randomise(
        SwinTransformer(
            embed_dim=width, window_size=(window,) * 3, patch_size=(2, 2, 2),
            num_heads=heads, patch_norm=patch_norm, norm_layer=nn.LayerNorm, **settings,
        )
    )  # fmt: skip


def as_tang(network, prefix="module."):
    """The file of Tang's pretraining: DDP's prefix, fc1 for linear1, a contrastive head."""
    state = {
        prefix + name.replace("mlp.linear", "mlp.fc"): tensor
        for name, tensor in network.state_dict().items()
    }
    deepest = network.layers4[0].downsample.reduction.weight.shape[0]
    state["module.contrastive_head.weight"] = torch.randn(
        512, deepest, generator=rng(8)
    )
    state["module.contrastive_head.bias"] = torch.randn(512, generator=rng(9))
    return {"epoch": 7, "state_dict": state}


def as_smit(network):
    """The file of SMIT: stages in one list, other corners in merges, norms of outputs."""
    # MONAI joins corners 0 4 2 1 6 5 3 7 (binary, last axis fastest), SMIT 5 and 3 swapped
    swapped = [0, 1, 2, 3, 4, 6, 5, 7]
    state = {}
    for name, tensor in network.state_dict().items():
        if name.startswith("layers"):
            stage, _, rest = name.removeprefix("layers").split(".", 2)
            name = f"layers.{int(stage) - 1}.{rest}"
        if ".downsample." in name:
            tensor = tensor.unflatten(-1, (8, -1))[..., swapped, :].flatten(-2)
        state[f"module.{name.replace('mlp.linear', 'mlp.fc')}"] = tensor.clone()
    for stage in range(4):
        state[f"module.norm{stage}.weight"] = torch.ones(12 * 2**stage)
    return state


def monai_vit(dims=3, proj_type="conv", **more):
    """MONAI's ViT with a class token, random: 8 voxels in patches of 4."""
    from monai.networks.nets.vit import ViT

    settings = {"in_channels": 1, "qkv_bias": False, **more}
    return randomise(
        ViT(
            img_size=(8,) * dims, patch_size=(4,) * dims, hidden_size=12, mlp_dim=48,
            num_layers=4, num_heads=3, classification=True, spatial_dims=dims,
            proj_type=proj_type, **settings,
        )
    )  # fmt: skip


def as_dino(ours, chunks=False, scaled=True):
    """A file with timm's names, as DINO's and 3DINO's, from our own encoder's tensors.

    The position of the class token stands first; chunks: blocks in groups of two, as
    DINOv2 trains them.
    """
    state = {}
    positions = ours["positions"].flatten(2).transpose(1, 2)
    state["pos_embed"] = torch.cat([ours["class_position"][None, None], positions], 1)
    state["cls_token"] = ours["class_token"][None, None]
    state["mask_token"] = torch.zeros(1, len(ours["class_token"]))
    for name, tensor in ours.items():
        if name in ("positions", "class_position", "class_token", "mask_token"):
            continue
        theirs = name.replace("stem.", "patch_embed.proj.")
        theirs = theirs.replace("attention.qkv", "attn.qkv")
        theirs = theirs.replace("attention.out", "attn.proj")
        theirs = theirs.replace("mlp.0", "mlp.fc1").replace("mlp.2", "mlp.fc2")
        if scaled:
            theirs = theirs.replace("scale1.gain", "ls1.gamma")
            theirs = theirs.replace("scale2.gain", "ls2.gamma")
        if chunks and theirs.startswith("blocks."):
            number, rest = theirs.removeprefix("blocks.").split(".", 1)
            theirs = f"blocks.{int(number) // 2}.{number}.{rest}"
        state[theirs] = tensor
    return state


def monai_resnet(dims, dilated=False, channels=1):
    """MONAI's residual network, random, batch statistics too; names as torchvision's."""
    from monai.networks.nets import ResNet
    from monai.networks.nets.resnet import ResNetBottleneck

    network = ResNet(
        ResNetBottleneck, (1, 2, 1, 1), [4, 8, 16, 32], spatial_dims=dims,
        n_input_channels=channels, conv1_t_stride=2, num_classes=3,
        bias_downsample=False,
    )  # fmt: skip
    randomise(network)
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            if "running" in name:
                buffer.copy_(torch.rand(buffer.shape, generator=rng(5)) + 0.5)
    return network

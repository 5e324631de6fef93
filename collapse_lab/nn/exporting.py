"""Write models into folders that diffusers and transformers open without this package."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from collapse_lab.nn.pipeline import INDEX, PipelineFolder
from collapse_lab.nn.pixels import Pixels
from collapse_lab.nn.samplers import Sampler
from collapse_lab.quiet import quiet
from collapse_lab.types import Exported, Spec, Tokens

OWN = "collapse_lab.nn.published."  # the modules that are copied beside the weights
DDIM_CALL = """from diffusers import DDIMPipeline

pipeline = DDIMPipeline.from_pretrained("FOLDER")
image = pipeline(num_inference_steps={steps}, eta={eta}).images[0]"""
OWN_CALL = """from diffusers import DiffusionPipeline

# The class of the pipeline lies in the folder: read it before you trust it
pipeline = DiffusionPipeline.from_pretrained("FOLDER", trust_remote_code=True)
image = pipeline({call}).images[0]"""
LATENT_CALL = """from diffusers import {kind}

pipeline = {kind}.from_pretrained("FOLDER")
image = pipeline(
    {prompt}, height={height}, width={width}, num_inference_steps={steps}, guidance_scale={scale}{more}
).images[0]"""
TEXT_CALL = """from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = AutoModelForCausalLM.from_pretrained("FOLDER")
tokens = tokenizer("Once upon a time", return_tensors="pt").input_ids
print(tokenizer.decode(model.generate(tokens, max_new_tokens=64)[0]))"""


def write_pipeline(folder: Path, pipeline: Any) -> None:
    """Write a pipeline of diffusers, with the modules beside it whose classes are this package's.

    Args:
        folder: Where it is written.
        pipeline: A `DiffusionPipeline`.
    """
    with quiet():
        pipeline.save_pretrained(folder)
    index = json.loads((folder / INDEX).read_text())
    if type(pipeline).__module__.startswith(OWN):
        index["_class_name"] = [_copied(type(pipeline), folder), type(pipeline).__name__]
    for name, part in pipeline.components.items():
        if type(part).__module__.startswith(OWN):
            index[name] = [_copied(type(part), folder / name), type(part).__name__]
        elif index.get(name) == ["transformers", "TokenizersBackend"]:
            index[name][1] = "PreTrainedTokenizerFast"  # because transformers before 5 knows no other name
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")


def export_pixels(
    folder: Path,
    spec: Spec,
    unet: nn.Module,
    sampler: Sampler,
    training: Mapping[str, Any],
    pixels: Pixels,
    **conditioning: Any,
) -> Exported:
    """Write a denoising U-Net of pixels: as diffusers' `DDIMPipeline` where that draws the same, else with a class.

    Args:
        folder: Where it is written.
        spec: The data set.
        unet: The network.
        sampler: The reverse process.
        training: The `config` of the noising that the network was trained with.
        pixels: How the network sees pixels.
        conditioning: Arguments of `PixelDiffusionPipeline` that say what images are drawn for, and how it is guided.
    """
    from diffusers import DDIMPipeline

    from collapse_lab.nn.published.pixel_diffusion import PixelDiffusionPipeline

    scheduler, (low, high) = sampler.prepared(training), pixels.range
    options, (channels, height, width) = dict(sampler.step_options), spec.shape
    plain = sampler.scheduler == "DDIMScheduler" and (low, high) == (-1, 1) and options.keys() <= {"eta"}
    if plain and not conditioning:
        write_pipeline(folder, DDIMPipeline(unet, scheduler))
        call = DDIM_CALL.format(steps=sampler.steps, eta=options.get("eta", 0.0))
        return Exported("diffusers", "unconditional-image-generation", call)
    pipeline = PixelDiffusionPipeline(
        unet,
        scheduler,
        channels=channels,
        height=height,
        width=width,
        low=float(low),
        high=float(high),
        steps=sampler.steps,
        step_options=options,
        even_sigmas=sampler.spaces_evenly(training),
        **conditioning,
    )
    write_pipeline(folder, pipeline)
    prompts, classes = "tokenizer" in conditioning, conditioning.get("classes")
    call = _a_prompt(spec) if prompts else "labels=[0]" if classes else "batch_size=1"
    task = "text-to-image" if prompts else "unconditional-image-generation"
    return Exported("diffusers", task, OWN_CALL.format(call=call))


def export_prior(folder: Path, spec: Spec, channels: int, latent: int, weights: Mapping[str, Any]) -> Exported:
    """Write a variational autoencoder of images, with its class and a pipeline that samples from its prior.

    Args:
        folder: Where it is written.
        spec: The data set.
        channels: The channels of the first convolution.
        latent: The number of dimensions of z.
        weights: The weights by name.
    """
    from collapse_lab.nn.published.prior_sampling import PriorSamplingPipeline
    from collapse_lab.nn.published.prior_vae import PriorVAE

    colours, height, width = spec.shape
    vae = PriorVAE(colours=colours, height=height, width=width, channels=channels, latent=latent)
    vae.load_state_dict(dict(weights))
    write_pipeline(folder, PriorSamplingPipeline(vae.eval()))
    return Exported("diffusers", "unconditional-image-generation", OWN_CALL.format(call="batch_size=1"))


def export_latent(
    folder: Path, spec: Spec, source: PipelineFolder, weights: Mapping[str, Any], sampler: Sampler, scale: float
) -> Exported:
    """Write a whole pipeline of Stable Diffusion with another U-Net and with the scheduler that the run sampled by.

    Args:
        folder: Where it is written.
        spec: The data set.
        source: The pipeline that was retrained.
        weights: The weights of the U-Net by name.
        sampler: The reverse process.
        scale: The guidance scale.
    """
    unet = source.network("unet")
    unet.load_state_dict(dict(weights))
    kind = "StableDiffusionXLPipeline" if source.two_texts else "StableDiffusionPipeline"
    parts = {name: source.network(name) for name in source.networks if name != "unet"}
    parts |= {name: source.tokenizer(name) for name in source.tokenizers}
    if source.two_texts:
        parts |= {"force_zeros_for_empty_prompt": source.empty_is_zero, "add_watermarker": False}
    return export_parts(folder, spec, {"unet": unet, **parts}, source.noising().config, sampler, scale, kind)


def export_parts(
    folder: Path,
    spec: Spec,
    parts: Mapping[str, Any],
    training: Mapping[str, Any],
    sampler: Sampler,
    scale: float,
    kind: str = "StableDiffusionPipeline",
) -> Exported:
    """Write the parts of a latent diffusion pipeline, with the scheduler that the run sampled by.

    Args:
        folder: Where it is written.
        spec: The data set.
        parts: The networks and tokenizers by the names of the pipeline's arguments.
        training: The `config` of the noising that the U-Net was trained with.
        sampler: The reverse process.
        scale: The guidance scale.
        kind: The class of the pipeline in diffusers.
    """
    import diffusers

    unchecked: dict[str, Any] = {}
    if kind == "StableDiffusionPipeline":
        unchecked = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    with quiet():
        pipeline = getattr(diffusers, kind)(scheduler=sampler.prepared(training), **parts, **unchecked)
    write_pipeline(folder, pipeline)
    options = sampler.step_options
    usage = LATENT_CALL.format(
        kind=kind,
        prompt=_a_prompt(spec),
        height=spec.shape[1],
        width=spec.shape[2],
        steps=sampler.steps,
        scale=scale,
        more=f", eta={options['eta']}" if "eta" in options else "",
    )
    return Exported("diffusers", "text-to-image", usage)


def export_language(folder: Path, net: Any, tokens: Tokens) -> Exported:
    """Write a language model with its tokenizer, where the data set has one that can be written.

    Args:
        folder: Where they are written.
        net: A model of transformers.
        tokens: The tokens of the data set.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    with quiet():
        net.save_pretrained(folder)
        if tokens.serialised is not None:
            backend = Tokenizer.from_str(tokens.serialised())
            PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=tokens.end).save_pretrained(folder)
    notes = () if tokens.serialised else ("The data set's tokenizer cannot be written, so that none is in the folder.",)
    return Exported("transformers", "text-generation", TEXT_CALL, notes)


def _a_prompt(spec: Spec) -> str:
    """Return a prompt as Python spells it."""
    return json.dumps(spec.vocabulary[0], ensure_ascii=False)


def _copied(kind: type, folder: Path) -> str:
    """Copy the module of a class into a folder, and return the name under which it stands there."""
    source = Path(inspect.getfile(kind))
    shutil.copyfile(source, folder / source.name)
    return source.stem

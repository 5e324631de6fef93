"""Draw images by a denoising U-Net of pixels, for prompts, for classes or for nothing.

The module needs torch, numpy, diffusers and, for prompts, transformers. It lies beside the weights that it draws with.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput
from diffusers.utils.torch_utils import randn_tensor


class PixelDiffusionPipeline(DiffusionPipeline):  # type: ignore[misc]
    """Denoise pixels by eps_uncond + w (eps_cond - eps_uncond), the condition being a prompt, a class or nothing.

    Args:
        unet: A `UNet2DModel`, or a `UNet2DConditionModel` that attends to the states of prompts.
        scheduler: The reverse process.
        text_encoder: Gives the states of a prompt; None where there are no prompts.
        tokenizer: Its tokenizer, which gives sequences of one length.
        channels: The channels of an image.
        height: The height of an image in pixels.
        width: The width of an image in pixels.
        low: What the network takes for black.
        high: What the network takes for white.
        classes: The word of each class by its number, written as text; None where there are no classes.
        steps: The number of denoising steps, where a call gives none.
        step_options: Arguments of the scheduler's step, such as `eta`.
        even_sigmas: Whether the noise levels lie evenly between 1 and 1/steps.
        guidance_scale: w, where a call gives none; 1 is no guidance.
        guided_from: The noise level t / T from which on sampling is guided.
        guided_to: The noise level t / T up to which sampling is guided.
    """

    model_cpu_offload_seq = "text_encoder->unet"
    _optional_components = ("text_encoder", "tokenizer")

    def __init__(
        self,
        unet: Any,
        scheduler: Any,
        text_encoder: Any = None,
        tokenizer: Any = None,
        channels: int = 3,
        height: int = 32,
        width: int = 32,
        low: float = -1.0,
        high: float = 1.0,
        classes: dict[str, str] | None = None,
        steps: int = 20,
        step_options: dict[str, Any] | None = None,
        even_sigmas: bool = False,
        guidance_scale: float = 1.0,
        guided_from: float = 0.0,
        guided_to: float = 1.0,
    ) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, text_encoder=text_encoder, tokenizer=tokenizer)
        self.register_to_config(
            channels=channels,
            height=height,
            width=width,
            low=low,
            high=high,
            classes=classes,
            steps=steps,
            step_options=step_options or {},
            even_sigmas=even_sigmas,
            guidance_scale=guidance_scale,
            guided_from=guided_from,
            guided_to=guided_to,
        )

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str] | None = None,
        labels: int | list[int] | None = None,
        batch_size: int = 1,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> Any:
        """Return one image for each prompt or label.

        Args:
            prompt: A prompt, or several; only for a model of prompts.
            labels: The number of a class, or several; only for a model of classes.
            batch_size: How many images a model without a condition draws.
            num_inference_steps: The number of steps; None takes that of the run.
            guidance_scale: w; None takes that of the run.
            generator: The generator of the noise.
            latents: Standard normal noise (n, c, h, w) to start from; None draws it.
            output_type: `pil`, `np` or `pt`.
            return_dict: Whether an `ImagePipelineOutput` is returned, or a tuple.

        Raises:
            ValueError: The condition is missing, or is not what the model takes.
        """
        condition, nothing = self._conditions(prompt, labels)
        n, settings = batch_size if condition is None else len(condition), self.config
        shape = (n, settings.channels, settings.height, settings.width)
        device = self._execution_device
        if latents is None:
            latents = randn_tensor(shape, generator=generator, device=device, dtype=self.unet.dtype)
        steps, extra = num_inference_steps or settings.steps, dict(settings.step_options)
        if settings.even_sigmas:
            self.scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps))
        else:
            self.scheduler.set_timesteps(steps)
        if "generator" in inspect.signature(self.scheduler.step).parameters:
            extra["generator"] = generator
        scale = settings.guidance_scale if guidance_scale is None else guidance_scale
        both = None if condition is None or scale == 1 else torch.cat([condition, nothing.expand_as(condition)])
        x = latents.to(device) * getattr(self.scheduler, "init_noise_sigma", 1.0)
        for t in self.progress_bar(self.scheduler.timesteps):
            scaled = self.scheduler.scale_model_input(x, t) if hasattr(self.scheduler, "scale_model_input") else x
            if both is not None and self._is_guided(t):
                first, second = self._predict(torch.cat([scaled, scaled]), t, both).chunk(2)
                predicted = second + scale * (first - second)
            else:
                predicted = self._predict(scaled, t, condition)
            x = self.scheduler.step(predicted, t, x, **extra).prev_sample
        images = self._finished(x, output_type)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _conditions(self, prompt: Any, labels: Any) -> tuple[Any, Any]:
        """Return what the U-Net is conditioned on, and what stands for no condition; None where there is none."""
        if self.text_encoder is not None:
            if prompt is None or labels is not None:
                raise ValueError("this model draws what a prompt says: give prompt='…', and no labels")
            return self._states([prompt] if isinstance(prompt, str) else list(prompt)), self._states([""])
        if prompt is not None:
            raise ValueError("this model takes no prompts: give labels=[…] if it has classes, else batch_size=…")
        classes = self.config.classes
        if not classes:
            if labels is not None:
                raise ValueError("this model has no classes: give batch_size=…, and no labels")
            return None, None
        numbers = [labels] if isinstance(labels, int) else list(labels or ())
        if not numbers or not all(0 <= number < len(classes) for number in numbers):
            raise ValueError(f"this model draws classes: give labels=[…], whole numbers from 0 to {len(classes) - 1}")
        device = self._execution_device
        return torch.tensor(numbers, device=device), torch.tensor([len(classes)], device=device)

    def _states(self, texts: list[str]) -> torch.Tensor:
        tokens = self.tokenizer(
            texts,
            padding="max_length",
            truncation=True,
            max_length=self.tokenizer.model_max_length,
            return_tensors="pt",
        ).to(self._execution_device)
        states: torch.Tensor = self.text_encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0]
        return states

    def _is_guided(self, t: Any) -> bool:
        level = float(t) / self.scheduler.config.num_train_timesteps
        return bool(self.config.guided_from <= level <= self.config.guided_to)

    def _predict(self, x: torch.Tensor, t: Any, condition: Any) -> torch.Tensor:
        given = () if condition is None else (condition,)
        predicted: torch.Tensor = self.unet(x, t, *given, return_dict=False)[0]
        return predicted

    def _finished(self, x: torch.Tensor, output_type: str) -> Any:
        low, high = self.config.low, self.config.high
        images = ((x - low) / (high - low)).clamp(0, 1)
        if output_type == "pt":
            return images
        arrays = images.cpu().permute(0, 2, 3, 1).float().numpy()
        return self.numpy_to_pil(arrays) if output_type == "pil" else arrays

"""All benchmarks, one after another: `make bench`."""

import torch

from tests.benchmarks import (
    bench_ahead,
    bench_decoding,
    bench_driver,
    bench_features,
    bench_gpu,
    bench_interacting,
    bench_metrics,
    bench_pack,
    bench_phases,
    bench_recursion,
    bench_sampling,
    bench_sharing,
    bench_stable_diffusion,
    bench_startup,
    bench_sweeps,
)

ALL = (
    bench_startup,
    bench_sweeps,
    bench_driver,
    bench_phases,
    bench_ahead,
    bench_sampling,
    bench_stable_diffusion,
    bench_decoding,
    bench_sharing,
    bench_pack,
    bench_metrics,
    bench_recursion,
    bench_interacting,
    bench_features,
)
for bench in (*ALL, *([bench_gpu] if torch.cuda.is_available() else [])):
    print(f"\n{(bench.__doc__ or '').splitlines()[0]}")
    bench.main()

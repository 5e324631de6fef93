#!/usr/bin/env bash
# Run the Gaussian chains that `verify` judges the claims of arXiv:2305.17493 by: ten thousand of them side by side with
# both estimators, two sizes of the training set, and sizes that grow linearly and as squares.
#   multirun_scripts/recursive_gaussian_claims.sh [local|slurm]     28 cells
# An estimated twenty minutes on two cores; a GPU makes no difference, because the family runs on the CPU.
source "$(dirname "$0")/launch.sh"
chains() { launch "$1" +experiment=recursive_gaussian "${@:2}"; }
(chains "${1:-local}" model.estimator=ml,unbiased generations=100 probes=[moments,sampled] 'seed=range(8)' "${@:2}")
(chains "${1:-local}" n_train=100,1000 generations=10 seed=0,1,2 "${@:2}")
(chains "${1:-local}" 'n_train={first:100,exponent:1}' generations=20 model.replicas=5000 seed=0,1,2 "${@:2}")
(chains "${1:-local}" 'n_train={first:100,exponent:2}' generations=20 model.replicas=1000 seed=0,1,2 "${@:2}")

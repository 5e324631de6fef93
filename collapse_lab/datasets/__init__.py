"""Real data: one file per data set; a yaml of `conf/dataset` names each of them."""

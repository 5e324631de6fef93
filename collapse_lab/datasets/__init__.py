"""Real data, one file per data set; each is named by a yaml of `conf/dataset`."""

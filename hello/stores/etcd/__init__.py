"""The count in etcd: one transaction a batch, over all members."""

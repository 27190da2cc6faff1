"""The count in etcd: one transaction for each batch."""

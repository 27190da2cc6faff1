"""The hello world of Kubernetes that proves the cluster works: a web server that counts its visitors, exactly."""

__version__ = "1.0.0"

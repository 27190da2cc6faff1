"""`python -m hello` is `hello`."""

from hello.cli import main

main()

#!/bin/sh
# Puts the image on every node, with its tag and as latest, unless all nodes have it: load.sh TAG. Without Docker, the cluster
# builds it. KUBECTL: the command, with its options.
set -eu
image=hello-counter:$1

# A node lists both names of an image together.
nodes=$($KUBECTL get node --output='jsonpath={range .items[*]}{.status.images[*].names}{"\n"}{end}')
echo "$nodes" | grep -qvE "\[[^]]*hello-counter:($1|latest)\"[^]]*hello-counter:($1|latest)\"" || exit 0

if command -v docker >/dev/null; then
	echo "loading $image"
	mkdir -p build
	docker save --output build/image.tar "$image" hello-counter:latest
	said=$(minikube image load "$PWD/build/image.tar" 2>&1) || true
	rm build/image.tar
else
	echo "building $image"
	all=
	[ "$(echo "$nodes" | wc -l)" -eq 1 ] || all=--all
	said=$(for name in "$image" hello-counter:latest; do minikube image build $all --tag "$name" .; done 2>&1) || true
fi

# minikube exits with 0 even if it failed.
there=$(minikube image ls)
for name in "$image" hello-counter:latest; do
	echo "$there" | grep -q "hello-counter:${name#*:}\$" || {
		[ -z "$said" ] || echo "$said" >&2
		echo "minikube did not take the image $name" >&2
		exit 1
	}
done

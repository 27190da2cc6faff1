#!/bin/sh
# Puts the image on the cluster's nodes, under the tag of its content and as latest, unless all of them have it.
# Without Docker, it is built in the cluster. The one argument is the tag. KUBECTL: the command, with its options.
set -eu
image=hello-counter:$1

# A node that has the image lists both of its names together.
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

# minikube's exit code is 0 whatever became of the image.
there=$(minikube image ls)
for name in "$image" hello-counter:latest; do
	echo "$there" | grep -q "hello-counter:${name#*:}\$" || {
		[ -z "$said" ] || echo "$said" >&2
		echo "minikube did not take the image $name" >&2
		exit 1
	}
done

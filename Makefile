# `make` alone prints what there is to make, from the comments beside the targets.
# Variables: OVERLAY (minikube or replicated; for deploy), N (pods, for scale), LINE (for without), FILE (for backup and
# restore), SHORT (for chaos, without and bench), URL (a tunnel's address, for url and check), OPTIONS (of hello check)
# and INSIDE (the cluster; for check), PYTHON.

PYTHON = python3
BIN = .venv/bin
PYTEST = $(BIN)/pytest --numprocesses=3 --dist=loadfile --ignore=tests/e2e --ignore=tests/chaos --ignore=tests/without
PIP = PIP_USER=0 $(BIN)/python -m pip --quiet --disable-pip-version-check
OURS = app.kubernetes.io/part-of=hello-world
COUNTER = deployment --selector=$(OURS),app.kubernetes.io/name=hello-world
MISSING = echo "there is no Deployment hello-world of ours: make deploy" >&2; exit 1

# The image's tag is made from its content: only a change is rolled out.
CONTENT := $(shell find .dockerignore Dockerfile LICENSE hello pyproject.toml requirements.txt -type f ! -name '*.pyc' ! -name '*.md' | LC_ALL=C sort)
TAG := $(shell { echo $(CONTENT); printf '%s\n' $(CONTENT) | git hash-object --no-filters --stdin-paths; } | git hash-object --stdin | cut -c 1-12)

# minikube names kubectl's context after its profile. The namespace is the context's. Each is looked up once, when needed.
PROFILE = $(eval PROFILE := $$(shell minikube profile 2>/dev/null | tr -d '* '))$(PROFILE)
KUBECTL = kubectl --context=$(PROFILE)
NAMESPACE = $(eval NAMESPACE := $$(or $$(shell $$(KUBECTL) config view --minify --output=jsonpath='{.contexts[0].context.namespace}' 2>/dev/null),default))$(NAMESPACE)

# Volumes and directories on the nodes belong to the whole cluster, so their names contain the namespace, except default.
VOLUME = hello-world-redis$(patsubst %,-%,$(filter-out default,$(NAMESPACE)))

# Longer recipes for minikube are scripts.
SCRIPT = KUBECTL='$(KUBECTL)' PROFILE='$(PROFILE)' NAMESPACE='$(NAMESPACE)' VOLUME='$(VOLUME)' OURS='$(OURS)' URL='$(URL)' sh manifests/scripts
KUSTOMIZATION = $(SCRIPT)/kustomization.sh manifests/overlays/$(or $(OVERLAY),minikube) $(NAMESPACE) hello-counter:$(TAG) </dev/null

# Makes other targets, without checking the cluster again.
AGAIN = $(MAKE) --no-print-directory --assume-old=cluster

.NOTPARALLEL:
.PHONY: help run test long lint format screenshot lock build load deploy url check status logs scale restart backup restore e2e chaos without bench undeploy purge clean \
	docker cluster deploy-minikube deploy-replicated deployed in-the-way no-tour volume password three-nodes manifest apply wait

help:
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

# ---- this machine ----

run: .venv/.run ## count visitors on this machine: curl localhost:8080
	@$(BIN)/hello serve

test: lint ## lint, and the tests that need no cluster, in about four minutes
	@$(PYTEST) --short

long: .venv/.dev ## the tests without a cluster that make test leaves out, since they take longer
	@$(PYTEST) --dist=worksteal -m long

lint: .venv/.dev ## look for mistakes without running anything
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@echo "checking types"
	@$(BIN)/mypy
	@$(BIN)/yamllint --strict manifests .github .yamllint
	@$(BIN)/jactionlint --shellcheck=$(BIN)/shellcheck --pyflakes= $(wildcard .github/workflows/*.yml)
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/shellcheck bench/prepare.sh $(wildcard manifests/components/*/*.sh manifests/scripts/*.sh .ci/run)

format: .venv/.dev ## format the code
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

screenshot: .venv/.dev ## take the pictures: of the live page, and of the reports that make e2e left
	@$(BIN)/python -m tests.page.picture
	@$(BIN)/python -m tests.check.picture

lock: .venv/.dev ## pin the newest versions that pyproject.toml allows
	@echo "looking up versions"
	@for lock in build:requirements.txt dev:requirements-dev.txt; do \
		$(BIN)/uv pip compile --quiet --no-header --universal --python-version 3.11 --generate-hashes --upgrade \
			--group $${lock%:*} --output-file $${lock#*:} pyproject.toml || exit 1; done

# A virtual environment works only where it was made, and while its Python is there; else it is made anew.
STALE := $(shell test -x $(BIN)/python && grep -qF ' $(CURDIR)/.venv' .venv/pyvenv.cfg || echo yes)
ifdef STALE
.PHONY: .venv/.run
endif

.venv/.run: requirements.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "there is no $(PYTHON): Python 3.11 or later is needed" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$$($(PYTHON) --version) is too old: Python 3.11 or later is needed" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "$(PYTHON) cannot make virtual environments: on Debian and Ubuntu, apt install python3-venv" >&2; exit 1; }
	@echo "making .venv"
	@$(if $(STALE),$(PYTHON) -m venv --clear .venv)
	@$(PIP) install --require-hashes --requirement requirements.txt
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

.venv/.dev: .venv/.run requirements-dev.txt
	@echo "installing the development tools into .venv"
	@$(PIP) install --require-hashes --requirement requirements-dev.txt
	@touch $@

bench: .venv/$(if $(SHORT),.dev,.bench) ## compare the speed with that of other servers, in twelve minutes; SHORT=1 takes one
	@sh bench/prepare.sh $(if $(SHORT),short)
	@$(BIN)/python -m bench $(if $(SHORT),short,full)

.venv/.bench: .venv/.dev bench/requirements.txt
	@echo "installing what draws the chart"
	@$(PIP) install --require-hashes --requirement bench/requirements.txt
	@touch $@

clean: ## delete what make created here, but not the count
	@rm -rf .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache build
	@find . -name __pycache__ -type d -prune -exec rm -r {} +

# ---- the image ----

build: docker ## build the image, under a tag made from its content
	@echo "building hello-counter:$(TAG)"
	@docker build --tag hello-counter:$(TAG) --tag hello-counter:latest .

docker:
	@command -v docker >/dev/null || { echo "there is no docker: install Docker" >&2; exit 1; }
	@docker version >/dev/null 2>&1 || { echo "Docker does not answer: start it" >&2; exit 1; }

# ---- minikube ----

cluster:
	@$(SCRIPT)/cluster.sh

# Without Docker on this machine, the cluster builds the image.
load: cluster $(if $(shell command -v docker 2>/dev/null),build) ## put the image on every node of the cluster
	@$(SCRIPT)/load.sh $(TAG)

deploy: cluster ## count visitors on minikube: three pods over one Redis, or with OVERLAY=replicated over three etcd
	@overlay=$$($(SCRIPT)/overlay.sh $(OVERLAY)) && $(AGAIN) deploy-$$overlay OVERLAY=$$overlay
	@$(SCRIPT)/url.sh || true # it counts, even if only a tunnel leads to it

deploy-minikube: no-tour in-the-way volume password deployed

deploy-replicated: three-nodes no-tour in-the-way deployed

deployed: load apply wait

# An apply over the walk's objects would keep `paused`, or fail on the selector. Others' objects stay.
no-tour: cluster
	@$(KUBECTL) delete deployment,service --selector=app.kubernetes.io/part-of=hello-tour --field-selector=metadata.name=hello-world

in-the-way: cluster
	@$(SCRIPT)/in-the-way.sh "$$($(KUSTOMIZATION))"

volume: cluster
	@$(SCRIPT)/volume.sh make

password: cluster
	@$(KUBECTL) get secret redis-password >/dev/null 2>&1 || { LC_ALL=C tr -dc a-zA-Z0-9 </dev/urandom | head -c 40 \
		| $(KUBECTL) create secret generic redis-password --from-file=password=/dev/stdin \
		&& $(KUBECTL) label secret redis-password $(OURS) >/dev/null; }

three-nodes: cluster
	@$(SCRIPT)/three-nodes.sh

manifest: ## generate the kustomization that make deploy applies, and print its directory
	@$(KUSTOMIZATION)

apply: cluster
	@$(SCRIPT)/apply.sh $(OVERLAY) hello-counter:$(TAG)

wait: cluster
	@$(SCRIPT)/rollout.sh deployment/hello-world 2m
	@echo "waiting for the count"
	@$(SCRIPT)/count.sh 20 >/dev/null

url: cluster ## print the URL of the counter on minikube
	@$(SCRIPT)/url.sh

check: $(if $(INSIDE),,.venv/.run) cluster ## prove that the counter on minikube works, or find what is wrong
	@INSIDE=$(INSIDE) $(SCRIPT)/check.sh $(OPTIONS)

status: cluster ## show what runs on minikube, and the count
	@$(KUBECTL) get deployment,statefulset,pod,service,persistentvolumeclaim --selector=$(OURS) --output=wide
	@$(KUBECTL) get node --no-headers | awk '$$2 !~ /^Ready/ { print "The node " $$1 " is not ready: " $$2 "." }'
	@echo "asking for the count"
	@count=$$($(SCRIPT)/count.sh 1) && echo "$$count visitors have been counted."

logs: cluster ## follow the logs of the pods and of the store
	@$(KUBECTL) logs --selector=$(OURS) --prefix --follow --tail=20 --max-log-requests=100

scale: cluster ## change the number of pods: make scale N=5
	@case "$(N)" in ''|*[!0-9]*) echo "say how many pods: make scale N=5" >&2; exit 1 ;; esac
	@$(KUBECTL) scale $(COUNTER) --replicas=$(N) || { $(MISSING); }
	@$(SCRIPT)/rollout.sh deployment/hello-world 2m

restart: cluster ## replace the pods, one after the other
	@$(KUBECTL) rollout restart $(COUNTER) || { $(MISSING); }
	@$(SCRIPT)/rollout.sh deployment/hello-world 2m

backup: cluster ## save a snapshot of etcd: make backup FILE=count.db
	@$(SCRIPT)/backup.sh "$(FILE)"

restore: cluster ## restore it: make restore FILE=count.db
	@$(SCRIPT)/restore.sh "$(FILE)"

e2e: .venv/.dev cluster ## run the tests on a cluster of three nodes; they delete its count
	@$(BIN)/pytest tests/e2e

chaos: .venv/.dev cluster ## inject every fault into a cluster of three nodes while visitors come; SHORT=1 is shorter
	@$(BIN)/pytest tests/chaos $(if $(SHORT),--short)

without: .venv/.dev ## show what a line of the manifests buys: make without LINE=drain, or LINE=all; no LINE lists them
ifeq ($(LINE),all)
	@$(BIN)/pytest tests/without $(if $(SHORT),--short)
else
	@$(BIN)/python -m tests.without $(LINE)
endif

# By label, so that others' objects stay, and those of an earlier version go. etcd's claims stay: they hold the count.
undeploy: cluster ## remove everything from minikube; the count stays on its disk
	@$(KUBECTL) delete deployment,statefulset,service,poddisruptionbudget,networkpolicy,rolebinding,role,serviceaccount,configmap,secret --selector=$(OURS)
	@echo "waiting for the pods to leave"
	@$(KUBECTL) delete persistentvolumeclaim --selector=$(OURS),app.kubernetes.io/name=redis
	@$(KUBECTL) delete persistentvolume --selector=$(OURS) --field-selector=metadata.name=$(VOLUME)
	@$(KUBECTL) wait pod --selector='$(OURS),app.kubernetes.io/name in (hello-world, redis, etcd, etcd-repair)' --for=delete --timeout=2m

purge: cluster ## undeploy, and delete the count
	@printf 'This deletes the count in the namespace $(NAMESPACE) for good. Type yes to go on: '; read -r answer; \
		test "$$answer" = yes || { echo "nothing deleted" >&2; exit 1; }
	@$(AGAIN) undeploy
	@$(KUBECTL) delete persistentvolumeclaim --selector=$(OURS),app.kubernetes.io/name=etcd
	@$(SCRIPT)/volume.sh empty

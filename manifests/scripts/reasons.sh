#!/bin/sh
# Says why pods are not ready: what each waits for, and the last warning of it. KUBECTL: the command, with its options.
set -eu
ours=app.kubernetes.io/part-of=hello-world
pods=$($KUBECTL get pod --selector=$ours --output='jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=="Ready")].status} {.status.phase} {.status.containerStatuses[*].state.waiting.reason}{"\n"}{end}')
last() { $KUBECTL get event --field-selector="type=Warning,$1" --sort-by=.metadata.creationTimestamp --output='jsonpath={.items[-1:].message}' 2>/dev/null; }

echo "$pods" | while read -r pod ready phase waiting; do
	[ -n "$pod" ] && [ "$ready" != True ] || continue
	echo "$pod: ${waiting:-$phase}: $(last "involvedObject.name=$pod")"
	case $waiting in CrashLoopBackOff) $KUBECTL logs "$pod" --previous --tail=1 ;; esac
done

# What may not be created has no pod to tell of it.
for owner in $($KUBECTL get replicaset,statefulset --selector=$ours --output=name); do
	forbidden=$(last "reason=FailedCreate,involvedObject.name=${owner#*/}")
	[ -z "$forbidden" ] || echo "${owner#*/}: $forbidden"
done

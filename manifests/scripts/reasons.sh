#!/bin/sh
# Says what is wrong with nodes, and with our claims and pods: one line each. KUBECTL: the command, with its options. OURS: the label of our objects.
set -eu
list() { $KUBECTL get "$1" --selector="$2" --no-headers --output="custom-columns=$3" 2>/dev/null || true; }
warning() { $KUBECTL get event --field-selector="type=Warning,$1" --sort-by=.metadata.creationTimestamp --output='jsonpath={.items[-1:].message}' 2>/dev/null || true; }

# The last error in a pod's log, unless the store has come back since.
error() {
	$KUBECTL logs "$1" --tail=500 2>/dev/null | awk '/"level": "(error|critical)"/ { said = $0 } /"event": "store is up"/ { said = "" } END { print said }' \
		| sed -E 's/^\{"error": "(([^"\\]|\\.)*)", "event": "([^"]*)".*/\3: \1/'
}

list node '' 'NAME:.metadata.name,READY:.status.conditions[?(@.type=="Ready")].status' \
	| awk '$2 != "True" { print "node " $1 " is not ready" }'

list persistentvolumeclaim "$OURS" 'NAME:.metadata.name,PHASE:.status.phase' | while read -r claim phase; do
	[ "$phase" = Bound ] || echo "the claim $claim is $phase: $(warning "involvedObject.name=$claim")"
done

columns='NAME:.metadata.name,READY:.status.conditions[?(@.type=="Ready")].status,PHASE:.status.phase'
columns=$columns',STARTS:.status.initContainerStatuses[*].state.waiting.reason,WAITS:.status.containerStatuses[*].state.waiting.reason'
list pod "$OURS" "$columns" | while read -r pod ready phase starting waiting; do
	why=
	[ "$ready" = True ] || {
		for word in "$waiting" "$starting" "$phase"; do case $word in '<none>') ;; *) why=$word; break ;; esac; done
		[ "$why" != Running ] || why='not ready'
		event=$(warning "involvedObject.name=$pod")
		why=$why${event:+: $event}
	}
	case $waiting in
	CrashLoopBackOff) said=$($KUBECTL logs "$pod" --previous --tail=1 2>/dev/null) || true ;;
	*) said=$(error "$pod") ;;
	esac
	[ -z "$why$said" ] || echo "$pod${why:+: $why}${said:+: $said}"
done

# Pods that may not be created. An old ReplicaSet lacks none.
list replicaset,statefulset "$OURS" 'NAME:.metadata.name,WANTS:.spec.replicas,HAS:.status.replicas' | awk '$2 + 0 > $3 + 0 { print $1 }' | while read -r owner; do
	forbidden=$(warning "reason=FailedCreate,involvedObject.name=$owner")
	[ -z "$forbidden" ] || echo "$owner: $forbidden"
done

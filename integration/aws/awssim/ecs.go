package awssim

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
	"time"
)

// cluster is an ECS cluster.
type cluster struct {
	realmKey

	name       string
	tags       map[string]string
	tasks      int // that each of its active instances runs
	containers []*container
}

// container is a container instance: an EC2 instance as its cluster sees it.
type container struct {
	id         string
	of         *instance
	in         *cluster
	status     string // REGISTERING, ACTIVE, DRAINING, DEREGISTERING, INACTIVE
	connected  bool
	tasks      int
	registered time.Time
	version    int
}

func (cl *cluster) arn() string { return cl.realmKey.arn(serviceECS, "cluster/"+cl.name) }

func (k *container) arn() string {
	return k.in.realmKey.arn(serviceECS, "container-instance/"+k.in.name+"/"+k.id)
}

// decoded returns user data as it is on the instance; what cannot be read is none.
func decoded(userData string) string {
	raw, err := base64.StdEncoding.DecodeString(userData)
	if err != nil {
		return ""
	}
	return string(raw)
}

// clusterOf returns the cluster that an instance joins: the one that JoinCluster said of its group or
// template, or that its user data writes into the agent's configuration; "" for none.
func (w *world) clusterOf(i *instance) string {
	if i.group != nil {
		for _, name := range []string{i.group.name, i.group.template.id, i.group.template.name} {
			if cl := w.joins[name]; cl != "" {
				return cl
			}
		}
	}
	found := regexp.MustCompile(`ECS_CLUSTER=["']?([A-Za-z0-9_-]{1,255})`).FindStringSubmatch(i.userData)
	if found == nil {
		return ""
	}
	return found[1]
}

// enlist plans how an instance that runs now turns up in its cluster. The agent of one whose cluster does
// not exist never gets in.
func (w *world) enlist(r *realm, i *instance, now time.Time) {
	if i.spoil.NoCluster {
		return
	}
	half := w.cfg.Timing.Register / 2
	w.at(now.Add(half), func(now time.Time) {
		name := w.clusterOf(i)
		cl := find(r.clusters, func(cl *cluster) bool { return cl.name == name })
		if cl == nil || i.state != "running" {
			return
		}
		k := &container{id: w.hex(32), of: i, in: cl, status: "REGISTERING", registered: now, version: 1}
		i.container = k
		cl.containers = append(cl.containers, k)
		w.at(now.Add(w.cfg.Timing.Register-half), func(now time.Time) {
			if k.status != "REGISTERING" {
				return
			}
			k.status, k.connected = "ACTIVE", !i.spoil.NoAgent
			w.place(k, now)
		})
		// An instance that is gone is forgotten with it.
		w.at(now.Add(w.cfg.Timing.Forget), func(now time.Time) { w.forget(k, now) })
	})
}

func (w *world) forget(k *container, now time.Time) {
	if k.of.alive() {
		w.at(now.Add(w.cfg.Timing.Forget), func(now time.Time) { w.forget(k, now) })
		return
	}
	k.in.containers = slices.DeleteFunc(k.in.containers, func(x *container) bool { return x == k })
}

// place lets the cluster's scheduler put tasks on an instance, or take them away.
func (w *world) place(k *container, now time.Time) {
	w.at(now.Add(w.cfg.Timing.Place), func(time.Time) {
		k.tasks = 0
		if k.status == "ACTIVE" && k.connected {
			k.tasks = k.in.tasks
		}
		k.version++
	})
}

// leave is the end of an instance as its cluster sees it. k may be nil.
func (k *container) leave(status string) {
	if k == nil || k.status == "INACTIVE" {
		return
	}
	k.status, k.connected = status, false
	if status == "INACTIVE" {
		k.tasks = 0
	}
	k.version++
}

func ecsActions() map[string]action {
	return map[string]action{
		"DescribeClusters":              describeClusters,
		"ListContainerInstances":        onCluster(listContainers),
		"DescribeContainerInstances":    onCluster(describeContainers),
		"UpdateContainerInstancesState": onCluster(updateContainers),
	}
}

// lastOf returns the name at the end of an ARN, or the name itself.
func lastOf(name string) string {
	if !strings.HasPrefix(name, "arn:") {
		return name
	}
	return name[strings.LastIndexByte(name, '/')+1:]
}

func (r *realm) cluster(name string) *cluster {
	if name == "" {
		name = "default"
	}
	return find(r.clusters, func(cl *cluster) bool { return cl.name == name || cl.arn() == name })
}

// onCluster finds the cluster that a request names.
func onCluster(do func(*call, *cluster) (any, error)) action {
	return func(c *call) (any, error) {
		var in struct{ Cluster string }
		if err := c.read(&in); err != nil {
			return nil, err
		}
		cl := c.realm.cluster(in.Cluster)
		if cl == nil {
			return nil, refuse("ClusterNotFoundException", "Cluster not found.")
		}
		return do(c, cl)
	}
}

func describeClusters(c *call) (any, error) {
	var in struct{ Clusters, Include []string }
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if len(in.Clusters) == 0 {
		in.Clusters = []string{"default"}
	}
	if len(in.Clusters) > 100 {
		return nil, refuse("InvalidParameterException", "Clusters cannot have more than 100 elements")
	}
	clusters, failures := []map[string]any{}, []map[string]any{}
	for _, name := range in.Clusters {
		cl := c.realm.cluster(name)
		if cl == nil {
			failures = append(failures, map[string]any{"arn": c.realm.arn(serviceECS, "cluster/"+lastOf(name)), "reason": "MISSING"})
			continue
		}
		registered, running := 0, 0
		for _, k := range cl.containers {
			running += k.tasks
			if k.status == "ACTIVE" || k.status == "DRAINING" {
				registered++
			}
		}
		clusters = append(clusters, map[string]any{
			"clusterArn": cl.arn(), "clusterName": cl.name, "status": "ACTIVE", "registeredContainerInstancesCount": registered,
			"runningTasksCount": running, "pendingTasksCount": 0, "activeServicesCount": 0, "statistics": []any{},
			"tags": ecsTags(cl.tags, slices.Contains(in.Include, "TAGS")), "settings": []any{}, "capacityProviders": []any{},
			"defaultCapacityProviderStrategy": []any{},
		})
	}
	return map[string]any{"clusters": clusters, "failures": failures}, nil
}

// ecsTags prints tags, which ECS leaves out unless it is asked to include them.
func ecsTags(tags map[string]string, asked bool) []map[string]any {
	out := []map[string]any{}
	for _, key := range sortedKeys(tags) {
		if asked {
			out = append(out, map[string]any{"key": key, "value": tags[key]})
		}
	}
	return out
}

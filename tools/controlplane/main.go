// The test control plane: etcd and three parts of Kubernetes in one program, told apart by its first argument.
// One program links what they share once, which halves the time and the space of four builds.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	etcd "go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

var parts = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
}

func main() {
	if len(os.Args) < 2 {
		fail("usage: controlplane etcd|kube-apiserver|kube-controller-manager|kube-scheduler [FLAG...]")
	}
	name := os.Args[1]
	os.Args = append([]string{name}, os.Args[2:]...) // each part reads its flags from where it would as a program of its own
	if name == "etcd" {
		etcd.Main(os.Args)
		return
	}
	newCommand, isKnown := parts[name]
	if !isKnown {
		fail(fmt.Sprintf("controlplane: there is no part %q", name))
	}
	os.Exit(cli.Run(newCommand()))
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(2)
}

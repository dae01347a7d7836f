// The node plugin serves a kubelet with two CSI drivers, under the names that they have on GKE:
//
//	pd.csi.storage.gke.io       disks, each of them a link <devices>/<disk name> to a block device of this machine
//	gcsfuse.csi.storage.gke.io  buckets, mounted by the real gcsfuse
//
// Attaching a disk is somebody else's part, who makes the link and takes it away.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
	"k8s.io/mount-utils"
	"k8s.io/utils/exec"
)

func main() {
	root := flag.String("kubelet-root", "/var/lib/kubelet", "the kubelet's --root-dir")
	node := flag.String("node-id", "", "the node's name for the attacher")
	devices := flag.String("devices", "", "the folder of the links to attached disks")
	gcsfuse := flag.String("gcsfuse", "gcsfuse", "the gcsfuse program")
	gcsfuseFlags := flag.String("gcsfuse-flags", "", "further flags of gcsfuse, with spaces between")
	flag.Parse()

	mounter := mount.New("")
	disks := &diskDriver{
		nodeID:  *node,
		devices: *devices,
		mounter: mount.NewSafeFormatAndMount(mounter, exec.New()),
	}
	buckets := &bucketDriver{nodeID: *node, program: *gcsfuse, flags: strings.Fields(*gcsfuseFlags), mounter: mounter}
	go serveDriver(*root, "pd.csi.storage.gke.io", disks)
	serveDriver(*root, "gcsfuse.csi.storage.gke.io", buckets)
}

// serveDriver serves the driver's own socket, and the one beside it by which the kubelet finds the first.
func serveDriver(root, name string, driver csi.NodeServer) {
	endpoint := filepath.Join(root, "plugins", name, "csi.sock")
	server := grpc.NewServer(grpc.UnaryInterceptor(logCall))
	csi.RegisterIdentityServer(server, &identity{name: name})
	csi.RegisterNodeServer(server, driver)
	listener := listen(endpoint)
	go func() { log.Fatal(server.Serve(listener)) }()

	registrar := grpc.NewServer()
	registration.RegisterRegistrationServer(registrar, &registrationServer{name: name, endpoint: endpoint})
	log.Fatal(registrar.Serve(listen(filepath.Join(root, "plugins_registry", name+"-reg.sock"))))
}

func listen(path string) net.Listener {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

func logCall(context context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	answer, err := handle(context, request)
	// Questions that change nothing are asked all the time.
	if !strings.HasSuffix(info.FullMethod, "GetCapabilities") || err != nil {
		log.Printf("%s %v: %v", filepath.Base(info.FullMethod), request, err)
	}
	return answer, err
}

type identity struct {
	csi.UnimplementedIdentityServer
	name string
}

func (driver *identity) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: driver.name, VendorVersion: "test"}, nil
}

func (*identity) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{}, nil
}

func (*identity) GetPluginCapabilities(
	context.Context, *csi.GetPluginCapabilitiesRequest,
) (*csi.GetPluginCapabilitiesResponse, error) {
	return &csi.GetPluginCapabilitiesResponse{}, nil
}

type registrationServer struct {
	registration.UnimplementedRegistrationServer
	name, endpoint string
}

func (server *registrationServer) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type:              registration.CSIPlugin,
		Name:              server.name,
		Endpoint:          server.endpoint,
		SupportedVersions: []string{"1.0.0"},
	}, nil
}

func (server *registrationServer) NotifyRegistrationStatus(
	_ context.Context, status *registration.RegistrationStatus,
) (*registration.RegistrationStatusResponse, error) {
	log.Printf("%s registered: %t %s", server.name, status.PluginRegistered, status.Error)
	return &registration.RegistrationStatusResponse{}, nil
}

func capabilities(kinds ...csi.NodeServiceCapability_RPC_Type) *csi.NodeGetCapabilitiesResponse {
	answer := &csi.NodeGetCapabilitiesResponse{}
	for _, kind := range kinds {
		answer.Capabilities = append(answer.Capabilities, &csi.NodeServiceCapability{
			Type: &csi.NodeServiceCapability_Rpc{Rpc: &csi.NodeServiceCapability_RPC{Type: kind}},
		})
	}
	return answer
}

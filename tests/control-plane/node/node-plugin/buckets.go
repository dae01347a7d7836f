package main

import (
	"context"
	"os"
	"os/exec"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/mount-utils"
)

// bucketDriver mounts buckets for inline volumes of pods. On GKE gcsfuse runs beside the pod's containers; here it runs
// beside the kubelet.
type bucketDriver struct {
	csi.UnimplementedNodeServer
	nodeID, program string
	flags           []string
	mounter         mount.Interface
}

func (driver *bucketDriver) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: driver.nodeID}, nil
}

func (*bucketDriver) NodeGetCapabilities(
	context.Context, *csi.NodeGetCapabilitiesRequest,
) (*csi.NodeGetCapabilitiesResponse, error) {
	return capabilities(), nil
}

func (driver *bucketDriver) NodePublishVolume(
	ctx context.Context, request *csi.NodePublishVolumeRequest,
) (*csi.NodePublishVolumeResponse, error) {
	attributes := request.VolumeContext
	bucket := attributes["bucketName"]
	if attributes["csi.storage.k8s.io/ephemeral"] != "true" || bucket == "" {
		return nil, status.Error(codes.InvalidArgument, "an inline volume with the attribute bucketName is wanted")
	}
	if isMounted(driver.mounter, request.TargetPath) {
		return &csi.NodePublishVolumeResponse{}, nil
	}
	if err := os.MkdirAll(request.TargetPath, 0o750); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	arguments := append([]string{"-o", "allow_other"}, driver.flags...)
	arguments = append(arguments, mountFlags(attributes["mountOptions"], request.Readonly)...)
	arguments = append(arguments, bucket, request.TargetPath)
	// It returns when the bucket is mounted, and leaves a process behind that serves it until it is unmounted.
	if said, err := exec.CommandContext(ctx, driver.program, arguments...).CombinedOutput(); err != nil {
		return nil, status.Errorf(codes.Internal, "gcsfuse %s: %v: %s", strings.Join(arguments, " "), err, said)
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func (driver *bucketDriver) NodeUnpublishVolume(
	_ context.Context, request *csi.NodeUnpublishVolumeRequest,
) (*csi.NodeUnpublishVolumeResponse, error) {
	return &csi.NodeUnpublishVolumeResponse{}, unmount(driver.mounter, request.TargetPath)
}

// mountFlags turns what GKE's driver takes as mountOptions into flags: `ro` is mount's own, all others are gcsfuse's.
func mountFlags(options string, readOnly bool) []string {
	var flags []string
	for _, option := range strings.Split(options, ",") {
		switch option = strings.TrimSpace(option); option {
		case "":
		case "ro":
			readOnly = true
		default:
			flags = append(flags, "--"+option)
		}
	}
	if readOnly {
		flags = append(flags, "-o", "ro")
	}
	return flags
}

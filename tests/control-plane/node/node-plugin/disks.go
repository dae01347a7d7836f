package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path"
	"path/filepath"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/mount-utils"
	"k8s.io/utils/exec"
)

// diskDriver does on the node what the Persistent Disk driver does there, by the same library: a blank disk is
// formatted, one with content is checked and mounted.
type diskDriver struct {
	csi.UnimplementedNodeServer
	nodeID, devices string
	mounter         *mount.SafeFormatAndMount
}

func (driver *diskDriver) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: driver.nodeID, MaxVolumesPerNode: 127}, nil
}

func (*diskDriver) NodeGetCapabilities(
	context.Context, *csi.NodeGetCapabilitiesRequest,
) (*csi.NodeGetCapabilitiesResponse, error) {
	return capabilities(
		csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME, csi.NodeServiceCapability_RPC_EXPAND_VOLUME), nil
}

// device follows the link of a disk, whose name is the last part of its volume's handle.
func (driver *diskDriver) device(volume string) (string, error) {
	device, err := filepath.EvalSymlinks(filepath.Join(driver.devices, path.Base(volume)))
	if err != nil {
		return "", status.Errorf(codes.NotFound, "the disk of %s is not attached: %v", volume, err)
	}
	return device, nil
}

func (driver *diskDriver) NodeStageVolume(
	_ context.Context, request *csi.NodeStageVolumeRequest,
) (*csi.NodeStageVolumeResponse, error) {
	device, err := driver.device(request.VolumeId)
	if err != nil {
		return nil, err
	}
	target := request.StagingTargetPath
	if isMounted(driver.mounter, target) {
		return &csi.NodeStageVolumeResponse{}, nil
	}
	if err := os.MkdirAll(target, 0o750); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	fileSystem := request.GetVolumeCapability().GetMount().GetFsType()
	if fileSystem == "" {
		fileSystem = "ext4"
	}
	if !mayGrowMounted() {
		if err := driver.growUnmounted(device); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	flags := request.GetVolumeCapability().GetMount().GetMountFlags()
	if err := driver.mounter.FormatAndMount(device, target, fileSystem, flags); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	// A disk that grew while it was attached to nobody.
	return &csi.NodeStageVolumeResponse{}, driver.grow(device, target)
}

func (driver *diskDriver) NodeUnstageVolume(
	_ context.Context, request *csi.NodeUnstageVolumeRequest,
) (*csi.NodeUnstageVolumeResponse, error) {
	return &csi.NodeUnstageVolumeResponse{}, unmount(driver.mounter, request.StagingTargetPath)
}

func (driver *diskDriver) NodePublishVolume(
	_ context.Context, request *csi.NodePublishVolumeRequest,
) (*csi.NodePublishVolumeResponse, error) {
	if isMounted(driver.mounter, request.TargetPath) {
		return &csi.NodePublishVolumeResponse{}, nil
	}
	if err := os.MkdirAll(request.TargetPath, 0o750); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	options := []string{"bind"}
	if request.Readonly {
		options = append(options, "ro")
	}
	if err := driver.mounter.Mount(request.StagingTargetPath, request.TargetPath, "", options); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func (driver *diskDriver) NodeUnpublishVolume(
	_ context.Context, request *csi.NodeUnpublishVolumeRequest,
) (*csi.NodeUnpublishVolumeResponse, error) {
	return &csi.NodeUnpublishVolumeResponse{}, unmount(driver.mounter, request.TargetPath)
}

func (driver *diskDriver) NodeExpandVolume(
	_ context.Context, request *csi.NodeExpandVolumeRequest,
) (*csi.NodeExpandVolumeResponse, error) {
	device, err := driver.device(request.VolumeId)
	if err != nil {
		return nil, err
	}
	return &csi.NodeExpandVolumeResponse{}, driver.grow(device, request.VolumePath)
}

// grow makes a mounted file system as large as its disk. Where this machine does not let us, that is left to the next
// time it is staged, and the log says so.
func (driver *diskDriver) grow(device, mounted string) error {
	if !mayGrowMounted() {
		log.Printf("%s is grown when it is next staged", device)
		return nil
	}
	resizer := mount.NewResizeFs(driver.mounter.Exec)
	needed, err := resizer.NeedResize(device, mounted)
	if err == nil && needed {
		_, err = resizer.Resize(device, mounted)
	}
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return nil
}

// growUnmounted makes a file system as large as its disk before it is mounted; a blank disk is left alone.
func (driver *diskDriver) growUnmounted(device string) error {
	format, err := driver.mounter.GetDiskFormat(device)
	if err != nil || format != "ext4" {
		return err
	}
	// It may be grown only when it has just been checked. One says that the check has mended something, which is well.
	const mended = 1
	said, err := driver.mounter.Exec.Command("e2fsck", "-f", "-p", device).CombinedOutput()
	var exit exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitStatus() == mended) {
		return fmt.Errorf("e2fsck %s: %w: %s", device, err, said)
	}
	if said, err := driver.mounter.Exec.Command("resize2fs", device).CombinedOutput(); err != nil {
		return fmt.Errorf("resize2fs %s: %w: %s", device, err, said)
	}
	return nil
}

func isMounted(mounter mount.Interface, target string) bool {
	not, err := mounter.IsLikelyNotMountPoint(target)
	return err == nil && !not
}

func unmount(mounter mount.Interface, target string) error {
	// A bind mount of the same file system is seen only by the longer look.
	if err := mount.CleanupMountPoint(target, mounter, true); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return nil
}

// mayGrowMounted says whether the kernel lets this process grow an ext4 that is mounted.
func mayGrowMounted() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return false
	}
	return sets[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}

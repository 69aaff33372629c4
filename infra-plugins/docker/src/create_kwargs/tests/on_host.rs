//! Keyword arguments that docker-py makes the `HostConfig` of.

use serde_json::{Value, json};

pub(super) fn all() -> Vec<(Value, Value)> {
    [resources(), devices(), isolation(), lifecycle(), files(), network()].into_iter().flatten().collect()
}

fn resources() -> Vec<(Value, Value)> {
    let sda = json!([{ "Path": "/dev/sda", "Rate": 1_048_576 }]);
    vec![
        (json!({ "blkio_weight": 300 }), json!({ "BlkioWeight": 300 })),
        (
            json!({ "blkio_weight_device": [{ "Path": "/dev/sda", "Weight": 200 }] }),
            json!({ "BlkioWeightDevice": [{ "Path": "/dev/sda", "Weight": 200 }] }),
        ),
        (json!({ "cpu_count": 2 }), json!({ "CpuCount": 2 })),
        (json!({ "cpu_percent": 50 }), json!({ "CpuPercent": 50 })),
        (json!({ "cpu_period": 100_000.0 }), json!({ "CpuPeriod": 100_000 })),
        (json!({ "cpu_quota": "50000" }), json!({ "CpuQuota": 50000 })),
        (json!({ "cpu_rt_period": 1000 }), json!({ "CpuRealtimePeriod": 1000 })),
        (json!({ "cpu_rt_runtime": 500 }), json!({ "CpuRealtimeRuntime": 500 })),
        (json!({ "cpu_shares": 512 }), json!({ "CpuShares": 512 })),
        (json!({ "cpuset_cpus": "0-3" }), json!({ "CpusetCpus": "0-3" })),
        (json!({ "cpuset_mems": 0 }), json!({ "CpusetMems": "0" })),
        (json!({ "device_read_bps": [{ "Path": "/dev/sda", "Rate": "1m" }] }), json!({ "BlkioDeviceReadBps": sda })),
        (json!({ "device_read_iops": sda }), json!({ "BlkioDeviceReadIOps": sda })),
        (json!({ "device_write_bps": sda }), json!({ "BlkioDeviceWriteBps": sda })),
        (json!({ "device_write_iops": sda }), json!({ "BlkioDeviceWriteIOps": sda })),
        (json!({ "mem_reservation": "512m" }), json!({ "MemoryReservation": 536_870_912 })),
        (json!({ "mem_swappiness": 60 }), json!({ "MemorySwappiness": 60 })),
        (json!({ "nano_cpus": 1_500_000_000 }), json!({ "NanoCpus": 1_500_000_000 })),
        (json!({ "oom_kill_disable": true }), json!({ "OomKillDisable": true })),
        (json!({ "oom_score_adj": -500 }), json!({ "OomScoreAdj": -500 })),
        (json!({ "pids_limit": -1 }), json!({ "PidsLimit": -1 })),
        (json!({ "shm_size": "1G" }), json!({ "ShmSize": 1_073_741_824 })),
        (json!({ "shm_size": 67_108_864 }), json!({ "ShmSize": 67_108_864 })),
        (
            json!({ "ulimits": [{ "Name": "nofile", "Soft": 1024, "Hard": 2048 }, { "name": "nproc", "soft": 9 }] }),
            json!({ "Ulimits": [{ "Name": "nofile", "Soft": 1024, "Hard": 2048 }, { "Name": "nproc", "Soft": 9 }] }),
        ),
    ]
}

fn devices() -> Vec<(Value, Value)> {
    let gpu = json!([["gpu"]]);
    let mapping = |host, container, permissions| json!({ "PathOnHost": host, "PathInContainer": container, "CgroupPermissions": permissions });
    let full =
        json!({ "Driver": "nvidia", "Count": 1, "DeviceIDs": ["0"], "Capabilities": gpu, "Options": { "a": "1" } });
    let lower =
        json!({ "driver": "nvidia", "count": 1, "device_ids": [0], "capabilities": gpu, "options": { "a": 1 } });
    vec![
        (json!({ "device_cgroup_rules": ["c 13:* rmw"] }), json!({ "DeviceCgroupRules": ["c 13:* rmw"] })),
        (
            json!({ "devices": ["/dev/sda:/dev/xvda:r", "/dev/b:/dev/c", "/dev/fuse", mapping("/dev/d", "/dev/e", "w")] }),
            json!({ "Devices": [
                mapping("/dev/sda", "/dev/xvda", "r"), mapping("/dev/b", "/dev/c", "rwm"),
                mapping("/dev/fuse", "/dev/fuse", "rwm"), mapping("/dev/d", "/dev/e", "w"),
            ] }),
        ),
        (json!({ "device_requests": [full, lower] }), json!({ "DeviceRequests": [full, full] })),
        (json!({ "gpus": "all" }), json!({ "DeviceRequests": [{ "Driver": "", "Count": -1, "Capabilities": gpu }] })),
        (
            json!({ "device_requests": [{ "count": 1 }], "gpus": 2 }),
            json!({ "DeviceRequests": [{ "Count": 1 }, { "Driver": "", "Count": 2, "Capabilities": gpu }] }),
        ),
        (
            json!({ "gpus": "\"device=0,GPU-1\"" }),
            json!({ "DeviceRequests": [{ "Driver": "", "DeviceIDs": ["0", "GPU-1"], "Capabilities": gpu }] }),
        ),
    ]
}

fn isolation() -> Vec<(Value, Value)> {
    vec![
        (json!({ "cap_add": ["SYS_ADMIN", "MKNOD"] }), json!({ "CapAdd": ["SYS_ADMIN", "MKNOD"] })),
        (json!({ "cap_drop": "ALL" }), json!({ "CapDrop": ["ALL"] })),
        (json!({ "cgroup_parent": "/runs" }), json!({ "CgroupParent": "/runs" })),
        (json!({ "cgroupns": "private" }), json!({ "CgroupnsMode": "private" })),
        (json!({ "ipc_mode": "host" }), json!({ "IpcMode": "host" })),
        (json!({ "isolation": "hyperv" }), json!({ "Isolation": "hyperv" })),
        (json!({ "pid_mode": "host" }), json!({ "PidMode": "host" })),
        (json!({ "runtime": "nvidia" }), json!({ "Runtime": "nvidia" })),
        (json!({ "security_opt": ["seccomp=unconfined"] }), json!({ "SecurityOpt": ["seccomp=unconfined"] })),
        (
            json!({ "sysctls": { "net.core.somaxconn": 1024, "net.ipv4.tcp_syncookies": "0" } }),
            json!({ "Sysctls": { "net.core.somaxconn": "1024", "net.ipv4.tcp_syncookies": "0" } }),
        ),
        (json!({ "userns_mode": "host" }), json!({ "UsernsMode": "host" })),
        (json!({ "uts_mode": "host" }), json!({ "UTSMode": "host" })),
    ]
}

fn lifecycle() -> Vec<(Value, Value)> {
    let log = json!({ "LogConfig": { "Type": "json-file", "Config": { "max-size": "1g", "max-file": "3" } } });
    vec![
        (
            json!({ "log_config": { "Type": "json-file", "Config": { "max-size": "1g", "max-file": "3" } } }),
            log.clone(),
        ),
        (json!({ "log_config": { "type": "json-file", "config": { "max-size": "1g", "max-file": 3 } } }), log),
        (
            json!({ "restart_policy": { "Name": "on-failure", "MaximumRetryCount": 5 } }),
            json!({ "RestartPolicy": { "Name": "on-failure", "MaximumRetryCount": 5 } }),
        ),
        (json!({ "restart_policy": { "name": "no" } }), json!({ "RestartPolicy": { "Name": "no" } })),
        (json!({ "storage_opt": { "size": "120G" } }), json!({ "StorageOpt": { "size": "120G" } })),
    ]
}

fn files() -> Vec<(Value, Value)> {
    vec![
        (json!({ "read_only": true }), json!({ "ReadonlyRootfs": true })),
        (
            json!({ "tmpfs": { "/mnt/vol2": "", "/mnt/vol1": "size=3G,uid=1000", "/run": null } }),
            json!({ "Tmpfs": { "/mnt/vol2": "", "/mnt/vol1": "size=3G,uid=1000", "/run": "" } }),
        ),
        (
            json!({ "tmpfs": ["/mnt/vol2", "/mnt/vol1:size=3G,uid=1000"] }),
            json!({ "Tmpfs": { "/mnt/vol2": "", "/mnt/vol1": "size=3G,uid=1000" } }),
        ),
        (json!({ "volume_driver": "local" }), json!({ "VolumeDriver": "local" })),
        (json!({ "volumes_from": ["a", "b:ro"] }), json!({ "VolumesFrom": ["a", "b:ro"] })),
        (json!({ "volumes_from": "a,b:ro" }), json!({ "VolumesFrom": ["a", "b:ro"] })),
        (
            json!({ "mounts": [{ "target": "/data", "source": "cache", "labels": { "a": "b" }, "no_copy": true,
                "subpath": "in", "driver_config": { "Name": "local", "Options": { "o": "addr" } } }] }),
            json!({ "Mounts": [{ "Target": "/data", "Source": "cache", "Type": "volume", "VolumeOptions": {
                "Labels": { "a": "b" }, "NoCopy": true, "Subpath": "in",
                "DriverConfig": { "Name": "local", "Options": { "o": "addr" } } } }] }),
        ),
        (
            json!({ "mounts": [{ "target": "/src", "source": "/srv", "type": "bind", "propagation": "rslave", "read_only": true }] }),
            json!({ "Mounts": [{ "Target": "/src", "Source": "/srv", "Type": "bind", "ReadOnly": true,
                "BindOptions": { "Propagation": "rslave" } }] }),
        ),
        (
            json!({ "mounts": [{ "target": "/t", "source": null, "type": "tmpfs", "tmpfs_size": "64m", "tmpfs_mode": 1023 }] }),
            json!({ "Mounts": [{ "Target": "/t", "Type": "tmpfs", "TmpfsOptions": { "SizeBytes": 67_108_864, "Mode": 1023 } }] }),
        ),
        engine_mounts(),
    ]
}

/// Mounts as the engine has them, which come out as they went in.
fn engine_mounts() -> (Value, Value) {
    let mounts = json!({ "Mounts": [
        { "Target": "/b", "Source": "/srv", "Type": "bind", "ReadOnly": false, "Consistency": "cached", "BindOptions": {
            "Propagation": "shared", "NonRecursive": true, "CreateMountpoint": true,
            "ReadOnlyNonRecursive": false, "ReadOnlyForceRecursive": true } },
        { "Target": "/v", "Source": "v", "Type": "volume", "VolumeOptions": { "NoCopy": true, "Labels": { "a": "b" },
            "Subpath": "in", "DriverConfig": { "Name": "nfs", "Options": { "o": "addr" } } } },
        { "Target": "/t", "Type": "tmpfs", "TmpfsOptions": { "SizeBytes": 1, "Mode": 511, "Options": [["noexec"]] } },
        { "Target": "/i", "Source": "alpine", "Type": "image", "ImageOptions": { "Subpath": "etc" } },
    ] });
    (json!({ "mounts": mounts["Mounts"] }), mounts)
}

fn network() -> Vec<(Value, Value)> {
    vec![
        (json!({ "dns": ["8.8.8.8"] }), json!({ "Dns": ["8.8.8.8"] })),
        (json!({ "dns_opt": ["ndots:2"] }), json!({ "DnsOptions": ["ndots:2"] })),
        (json!({ "dns_search": ["example.com"] }), json!({ "DnsSearch": ["example.com"] })),
        (json!({ "links": { "db": "database", "cache": null } }), json!({ "Links": ["cache", "db:database"] })),
        (json!({ "links": [["db", "database"], "a:b"] }), json!({ "Links": ["db:database", "a:b"] })),
        (json!({ "publish_all_ports": true }), json!({ "PublishAllPorts": true })),
    ]
}

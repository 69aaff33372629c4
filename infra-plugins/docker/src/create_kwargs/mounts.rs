//! What of the file system the container sees.

use std::collections::HashMap;

use bollard::models::{
    Mount, MountBindOptions, MountImageOptions, MountTmpfsOptions, MountType, MountVolumeOptions,
    MountVolumeOptionsDriverConfig,
};
use serde_json::Value;

use super::{
    KwargError,
    fields::Fields,
    given::Given,
    place::{Asked, Keys, Place},
};

pub(super) const KEYS: Keys = &[
    ("mounts", Place::Own(mounts)),
    ("read_only", Place::Flag(|to| &mut to.host().readonly_rootfs)),
    ("tmpfs", Place::Own(tmpfs)),
    ("volume_driver", Place::Text(|to| &mut to.host().volume_driver)),
    ("volumes_from", Place::Own(volumes_from)),
];

/// The engine's fields, then the keyword arguments of docker-py's `Mount` that it puts into the options.
const MOUNT: &[&str] = &[
    "Target",
    "Source",
    "Type",
    "ReadOnly",
    "Consistency",
    "BindOptions",
    "VolumeOptions",
    "ImageOptions",
    "TmpfsOptions",
    "propagation",
    "no_copy",
    "labels",
    "driver_config",
    "subpath",
    "tmpfs_size",
    "tmpfs_mode",
];

const BIND: &[&str] =
    &["Propagation", "NonRecursive", "CreateMountpoint", "ReadOnlyNonRecursive", "ReadOnlyForceRecursive"];

fn mounts(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    asked.host().mounts = Some(given.each(mount)?);
    Ok(())
}

fn mount(given: &Given<'_>) -> Result<Mount, KwargError> {
    let fields = Fields::of(given, MOUNT)?;
    let typ = |typ: &Given<'_>| typ.choice("bind, volume, tmpfs, image, npipe or cluster");
    Ok(Mount {
        target: Some(fields.required("Target", Given::text)?),
        source: fields.read("Source", Given::text)?,
        typ: Some(fields.read("Type", typ)?.unwrap_or(MountType::VOLUME)),
        read_only: fields.read("ReadOnly", Given::flag)?,
        consistency: fields.read("Consistency", Given::text)?,
        bind_options: bind_options(&fields)?,
        volume_options: volume_options(&fields)?,
        image_options: fields.read("ImageOptions", image_options)?,
        tmpfs_options: tmpfs_options(&fields)?,
    })
}

fn bind_options(mount: &Fields<'_>) -> Result<Option<MountBindOptions>, KwargError> {
    let mut options = mount.read("BindOptions", |given| {
        let fields = Fields::of(given, BIND)?;
        Ok(MountBindOptions {
            propagation: fields.read("Propagation", propagation)?,
            non_recursive: fields.read("NonRecursive", Given::flag)?,
            create_mountpoint: fields.read("CreateMountpoint", Given::flag)?,
            read_only_non_recursive: fields.read("ReadOnlyNonRecursive", Given::flag)?,
            read_only_force_recursive: fields.read("ReadOnlyForceRecursive", Given::flag)?,
        })
    })?;
    if let Some(propagation) = mount.read("propagation", propagation)? {
        options.get_or_insert_default().propagation = Some(propagation);
    }
    Ok(options)
}

fn propagation<T: std::str::FromStr>(given: &Given<'_>) -> Result<T, KwargError> {
    given.choice("private, rprivate, shared, rshared, slave or rslave")
}

fn volume_options(mount: &Fields<'_>) -> Result<Option<MountVolumeOptions>, KwargError> {
    let nested = mount.read("VolumeOptions", |given| {
        let fields = Fields::of(given, &["NoCopy", "Labels", "DriverConfig", "Subpath"])?;
        volume_options_of(&fields, ["NoCopy", "Labels", "DriverConfig", "Subpath"])
    })?;
    let flat = volume_options_of(mount, ["no_copy", "labels", "driver_config", "subpath"])?;
    Ok(if flat == MountVolumeOptions::default() { nested } else { Some(flat) })
}

fn volume_options_of(fields: &Fields<'_>, names: [&str; 4]) -> Result<MountVolumeOptions, KwargError> {
    let [no_copy, labels, driver_config, subpath] = names;
    Ok(MountVolumeOptions {
        no_copy: fields.read(no_copy, Given::flag)?,
        labels: fields.read(labels, Given::text_map)?,
        driver_config: fields.read(driver_config, self::driver_config)?,
        subpath: fields.read(subpath, Given::text)?,
    })
}

fn driver_config(given: &Given<'_>) -> Result<MountVolumeOptionsDriverConfig, KwargError> {
    let fields = Fields::of(given, &["Name", "Options"])?;
    Ok(MountVolumeOptionsDriverConfig {
        name: fields.read("Name", Given::text)?,
        options: fields.read("Options", Given::text_map)?,
    })
}

fn image_options(given: &Given<'_>) -> Result<MountImageOptions, KwargError> {
    Ok(MountImageOptions { subpath: Fields::of(given, &["Subpath"])?.read("Subpath", Given::text)? })
}

fn tmpfs_options(mount: &Fields<'_>) -> Result<Option<MountTmpfsOptions>, KwargError> {
    let mut options = mount.read("TmpfsOptions", |given| {
        let fields = Fields::of(given, &["SizeBytes", "Mode", "Options"])?;
        Ok(MountTmpfsOptions {
            size_bytes: fields.read("SizeBytes", Given::bytes)?,
            mode: fields.read("Mode", mode)?,
            options: fields.read("Options", |options| options.each(Given::texts))?,
        })
    })?;
    if let Some(bytes) = mount.read("tmpfs_size", Given::bytes)? {
        options.get_or_insert_default().size_bytes = Some(bytes);
    }
    if let Some(mode) = mount.read("tmpfs_mode", mode)? {
        options.get_or_insert_default().mode = Some(mode);
    }
    Ok(options)
}

/// Never text: whether that were octal could not be told.
fn mode(given: &Given<'_>) -> Result<i64, KwargError> {
    given.value.as_i64().ok_or_else(|| given.wrong("a number, decimal as JSON has it"))
}

fn tmpfs(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    asked.host().tmpfs = Some(match given.value {
        Value::Array(_) => given.each(Given::str)?.into_iter().map(path_and_options).collect(),
        Value::Object(_) => options_by_path(given)?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(given.wrong("an object or a list of path[:options]"));
        }
    });
    Ok(())
}

fn path_and_options(text: &str) -> (String, String) {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    (path.to_owned(), options.to_owned())
}

fn options_by_path(given: &Given<'_>) -> Result<HashMap<String, String>, KwargError> {
    let options = |given: &Given<'_>| if given.value.is_null() { Ok(String::new()) } else { given.text() };
    given.entries()?.into_iter().map(|(path, given)| Ok((path.to_owned(), options(&given)?))).collect()
}

fn volumes_from(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    asked.host().volumes_from = Some(if let Value::String(containers) = given.value {
        containers.split(',').map(str::to_owned).collect()
    } else {
        given.text_or_texts()?
    });
    Ok(())
}

//! The clusters that this daemon has to do with, also after it was started anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

use camino::Utf8PathBuf;
use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use tokio::sync::Mutex;

use super::access::{self, AccessError};
use super::calls::Cluster;
use crate::fields::ClusterConfigBlock;

/// The folder of the cluster that the worker's own settings lead to.
const OWN: &str = "own";
const BLOCK: &str = "cluster-config.json";
const NAMESPACES: &str = "namespaces";

/// Clusters, made when they are first needed. A run remembers its cluster by id; the kubeconfig of a block is kept in the
/// daemon's private folder, so that its runs are found again.
pub(crate) struct Clusters {
    kubeconfig: Option<String>,
    context: Option<String>,
    folder: Utf8PathBuf,
    made: Mutex<HashMap<String, Made>>,
}

struct Made {
    cluster: Cluster,
    block: Option<ClusterConfigBlock>,
}

impl Clusters {
    pub(crate) fn new(kubeconfig: Option<String>, context: Option<String>, folder: Utf8PathBuf) -> Self {
        Self { kubeconfig, context, folder, made: Mutex::default() }
    }

    /// The cluster of a block, else of the worker's own settings. A block whose credentials have changed is used as it is now.
    pub(crate) async fn of(&self, block: Option<&ClusterConfigBlock>) -> Result<Cluster, AccessError> {
        let id = block.map(access::identity).unwrap_or_default();
        let mut made = self.made.lock().await;
        if let Some(known) = made.get(&id)
            && known.block.as_ref() == block
        {
            return Ok(known.cluster.clone());
        }
        let config = match block {
            Some(block) => {
                let config = access::of_block(block).await?;
                self.keep_block(&id, block)
                    .map_err(|error| AccessError::Block(format!("it cannot be kept: {error}")))?;
                config
            }
            None => access::of_settings(self.kubeconfig.as_deref(), self.context.as_deref()).await?,
        };
        if let Some(known) = made.get_mut(&id) {
            known.cluster.renew(config)?;
            known.block = block.cloned();
            return Ok(known.cluster.clone());
        }
        let cluster = Cluster::new(id.clone(), config)?;
        tracing::debug!(server = cluster.server, "the cluster is found");
        made.insert(id, Made { cluster: cluster.clone(), block: block.cloned() });
        Ok(cluster)
    }

    /// A cluster by its id.
    pub(crate) async fn by_id(&self, id: &str) -> Result<Cluster, AccessError> {
        if let Some(known) = self.made.lock().await.get(id) {
            return Ok(known.cluster.clone());
        }
        if id.is_empty() {
            return self.of(None).await;
        }
        let unusable = |why: String| AccessError::Block(format!("the copy that the worker kept of it: {why}"));
        let text = fs::read_to_string(self.folder_of(id).join(BLOCK)).map_err(|error| unusable(error.to_string()))?;
        let block: ClusterConfigBlock = serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
        self.of(Some(&block)).await
    }

    /// Notes that there are runs in a namespace.
    pub(crate) fn note(&self, cluster: &str, namespace: &str) -> io::Result<()> {
        let folder = self.folder_of(cluster).join(NAMESPACES);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(namespace), "")
    }

    /// The namespaces in which there ever were runs, by cluster.
    pub(crate) fn noted(&self) -> BTreeMap<String, BTreeSet<String>> {
        let names = |folder: Utf8PathBuf| {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect::<BTreeSet<_>>()
        };
        let clusters = names(self.folder.clone()).into_iter().map(|folder| {
            let namespaces = names(self.folder.join(&folder).join(NAMESPACES));
            (if folder == OWN { String::new() } else { folder }, namespaces)
        });
        clusters.filter(|(_, namespaces)| !namespaces.is_empty()).collect()
    }

    fn folder_of(&self, cluster: &str) -> Utf8PathBuf {
        self.folder.join(if cluster.is_empty() { OWN } else { cluster })
    }

    fn keep_block(&self, id: &str, block: &ClusterConfigBlock) -> io::Result<()> {
        let folder = self.folder_of(id);
        fs::create_dir_all(&folder)?;
        let text = serde_json::to_string(block)?;
        let (new, kept) = (folder.join("cluster-config.new"), folder.join(BLOCK));
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        io::Write::write_all(&mut &file, text.as_bytes())?;
        fs::rename(new, kept)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use camino::Utf8Path;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_later_process_finds_the_clusters_of_blocks_again() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap().to_owned();
        let config = json!({
            "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
            "users": [{"name": "u", "user": {"token": "secret-token"}}],
            "contexts": [{"name": "ctx", "context": {"cluster": "c", "user": "u"}}],
        });
        let block = ClusterConfigBlock { config, context_name: "ctx".to_owned() };
        let clusters = Clusters::new(None, None, folder.clone());
        let cluster = clusters.of(Some(&block)).await.unwrap();
        clusters.note(&cluster.id, "flows").unwrap();
        clusters.note("", "default").unwrap();

        let later = Clusters::new(None, None, folder.clone());
        assert_eq!(later.by_id(&cluster.id).await.unwrap().server, "http://127.0.0.1:1");
        let noted = later.noted();
        assert_eq!(noted[&cluster.id], BTreeSet::from(["flows".to_owned()]));
        assert_eq!(noted[""], BTreeSet::from(["default".to_owned()]));
        let mode = fs::metadata(folder.join(&cluster.id).join(BLOCK)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it holds credentials");
        assert!(later.by_id("unknown").await.is_err());
    }
}

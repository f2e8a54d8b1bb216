//! What every part begins with: configuration, registry, keys.
//!
//! In: a [`Config`]. Out: an [`Installation`], and what is made from it. Refuses: what can't be read, with the file or setting to look at.
//! Promises: keys are made at the first start, and never again.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

use crate::attribute::meaning::Meaning;
use crate::check::clicks::Networks;
use crate::check::dialects::Dialects;
use crate::check::dialects::doors::Doors;
use crate::check::postbacks::Postbacks;
use crate::config::Config;
use crate::deliver::endpoints::{self, Endpoint};
use crate::keys::Keys;
use crate::registry::Registry;
use crate::store::engine::{Login, read_access};
use crate::store::{Server, Warehouse};

/// As whom to ask the warehouse. On a configured server one user is both administrator and writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Makes tables.
    Admin,
    /// Writes rows, and reads all of the installation's database.
    Ingest,
    /// Reads what is not personal.
    Analyst,
}

/// What every part begins with: configuration, registry, keys.
pub struct Installation {
    /// The configuration.
    pub config: Config,
    /// Sites, forms, links and the rest.
    pub registry: Arc<Registry>,
    /// How other systems' forms speak, and where they post to.
    pub doors: Arc<Doors>,
    /// What networks report to.
    pub postbacks: Arc<Postbacks>,
    /// How networks and trackers write click addresses.
    pub networks: Arc<Networks>,
    /// Signing and hashing keys.
    pub keys: Arc<Keys>,
}

impl Installation {
    /// Reads sites and keys; makes keys at the first start.
    pub fn open(mut config: Config) -> Result<Self> {
        std::fs::create_dir_all(&config.data_dir)
            .with_context(|| format!("cannot create data_dir {:?}", config.data_dir))?;
        // Absolute, for the engine insists on it.
        config.data_dir = config
            .data_dir
            .canonicalize()
            .with_context(|| format!("cannot look at data_dir {:?}", config.data_dir))?;
        let registry = Arc::new(Registry::load(&config.sites_file)?);
        let dialects = Arc::new(Dialects::load(&config.dialects_dir)?);
        let doors = Arc::new(Doors::new(&registry, dialects)?);
        let postbacks = Arc::new(Postbacks::open(&config, &registry)?);
        let networks = Arc::new(Networks::open(&config.dialects_dir, registry.clone())?);
        let keys = Arc::new(Keys::open(&config.keys_dir())?);
        Ok(Self { config, registry, doors, postbacks, networks, keys })
    }

    /// What the fields of forms mean, as configured.
    pub fn meaning(&self) -> Result<Meaning> {
        let dialects = self.doors.dialects.clone();
        Ok(Meaning::open(&self.config.forms, dialects, self.registry.clone())?)
    }

    /// The warehouse as configured: a server, or the embedded engine that `leadtrail up` runs on this data.
    pub fn warehouse(&self, role: Role) -> Result<Warehouse> {
        let config = &self.config;
        if !config.warehouse.url.is_empty() {
            let server = match role {
                Role::Analyst if config.warehouse.analyst_user.is_empty() => bail!(
                    "no analyst: the service's own user can read what is personal and change everything. Make a user that can't \
                     (deploy/analyst.sql), and set warehouse.analyst_user and warehouse.analyst_password_file"
                ),
                Role::Analyst => Server::configured_analyst(&config.warehouse)?,
                Role::Admin | Role::Ingest => Server::configured(&config.warehouse)?,
            };
            return Ok(Warehouse::connect(config, &server));
        }
        let access = read_access(&config.engine_dir()).context(
            "no warehouse: set warehouse.url, or start `leadtrail up`, which runs the embedded engine",
        )?;
        let login: &Login = match (role, &access.analyst) {
            (Role::Admin, _) => &access.admin,
            (Role::Ingest, _) => &access.ingest,
            (Role::Analyst, Some(analyst)) => analyst,
            (Role::Analyst, None) => bail!(
                "the engine runs without its sandbox, so there is no analyst: a query could read any file"
            ),
        };
        Ok(Warehouse::connect(config, &Server::embedded(&access.url, login)))
    }
    /// Where new leads go.
    pub fn endpoints(&self) -> Result<Vec<Endpoint>> {
        Ok(endpoints::load(&self.config.deliver.file, &self.registry)?)
    }
}

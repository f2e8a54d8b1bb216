//! The consumer as a part: opened, asked whether it is ready, run until the stop.
//!
//! In: an [`Installation`] and its warehouse. Out: rows. Refuses: to begin before its keys agree with the other machines'.
//! Promises: under other keys one person would get two names, so no row is made with them.

use std::sync::Arc;

use anyhow::Result;

use super::{Installation, Metrics};
use crate::config::Config;
use crate::consume::health::Health;
use crate::consume::{self, Pipeline};
use crate::enrich::Enricher;
use crate::enrich::spam::Judge;
use crate::ops::Check;
use crate::service::sharing::Sharing;
use crate::stop::Stop;
use crate::store::Warehouse;

/// The consumer, opened.
pub struct Consumer {
    pipeline: Arc<Pipeline>,
    sharing: Option<Sharing>,
}

impl Consumer {
    /// Opens the place database and the rules, and compares keys with the other machines.
    pub async fn open(
        installation: &Installation,
        warehouse: Warehouse,
        metrics: &mut Metrics,
    ) -> Result<Self> {
        let enricher = tokio::task::block_in_place(|| Enricher::open(&installation.config.enrich))?;
        let health = Arc::new(Health::default());
        let metrics = consume::metrics::Metrics::new(metrics, health.clone());
        let judge = Judge::new(&installation.config.spam);
        let keys = installation.keys.clone();
        let meaning = installation.meaning()?;
        let pipeline = Pipeline { warehouse, enricher, judge, meaning, keys, health, metrics };
        let sharing = Sharing::begin(installation, None).await?;
        Ok(Self { pipeline: Arc::new(pipeline), sharing })
    }

    /// What `/ready` asks.
    pub fn checks(&self) -> Vec<Check> {
        let check = |name, ask: fn(&Health) -> Result<(), String>| {
            let health = self.pipeline.health.clone();
            Check { name, run: Box::new(move || ask(&health)) }
        };
        let mut checks = vec![
            check("log", Health::reads),
            check("partitions", Health::advances),
            check("storing", Health::stores),
            check("retention", Health::keeps_up),
            check("warehouse", Health::warehouse_is_there),
        ];
        checks.extend(self.sharing.as_ref().map(Sharing::check));
        checks
    }

    /// What rows are made with, for a command that works beside the consumer; `None` when a stop came before the keys were known to agree.
    pub async fn into_pipeline(self, stop: &Stop) -> Option<Arc<Pipeline>> {
        match &self.sharing {
            Some(sharing) if !sharing.agreed(stop).await => None,
            _ => Some(self.pipeline),
        }
    }

    /// Consumes until the stop. Not before the keys agree: under other keys one person would get two names.
    pub async fn run(self, config: &Config, stop: Stop) {
        if let Some(sharing) = &self.sharing
            && !sharing.agreed(&stop).await
        {
            return;
        }
        consume::run(config, self.pipeline, stop.watch()).await;
    }
}

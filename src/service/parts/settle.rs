//! Settling as a part, with the delivery of what is settled.
//!
//! In: an [`Installation`] and its warehouse. Out: settled rows and delivered leads. Refuses: to open without its counter or its seat in
//! the election. Promises: one of many settles at a time.

use anyhow::Result;

use super::{Installation, Metrics};
use crate::config::Home;
use crate::deliver::{self, Deliverer};
use crate::ops::Check;
use crate::settle::{self, Counter, Election, Settler, Versions};
use crate::stop::Stop;
use crate::store::Warehouse;

/// Settling, opened.
pub struct Settle {
    settler: Settler,
    versions: Versions,
    deliverer: Deliverer,
}

impl Settle {
    /// Joins the election of those who may settle.
    pub fn open(
        installation: &Installation,
        warehouse: &Warehouse,
        metrics: &mut Metrics,
    ) -> Result<Self> {
        let config = &installation.config;
        let client = warehouse.client().clone();
        let settler = Settler::new(client, &installation.registry, settle::Settings::of(config));
        settler.health().register(metrics);
        let deliverer = Deliverer::new(
            warehouse.clone(),
            installation.endpoints()?,
            deliver::Settings::of(config),
            settler.health(),
        );
        deliverer.health().register(metrics);
        let versions = match config.log.home {
            Home::Disk => Versions::Counter(Counter::open(&config.data_dir)?),
            Home::Kafka => Versions::Election(Election::join(&config.kafka)?),
        };
        Ok(Self { settler, versions, deliverer })
    }

    /// What `/ready` asks.
    pub fn checks(&self) -> Vec<Check> {
        let (health, delivery) = (self.settler.health(), self.deliverer.health());
        vec![
            Check { name: "settle", run: Box::new(move || health.ready()) },
            Check { name: "deliver", run: Box::new(move || delivery.ready()) },
        ]
    }

    /// Settles, and delivers what is settled, until the stop.
    pub async fn run(mut self, stop: Stop) {
        // Before anything is settled: a new endpoint shall get the first lead too.
        if let Err(error) = self.deliverer.begin().await {
            tracing::warn!(%error, "deliver: new endpoints begin when the warehouse is there");
        }
        let delivering = tokio::spawn(self.deliverer.run(stop.clone()));
        settle::run_loop(&self.settler, &mut self.versions, &stop).await;
        if let Err(error) = delivering.await {
            tracing::error!(%error, "delivering panicked");
        }
    }

    /// Settles what there is, and says what it did.
    pub async fn run_once(mut self, stop: &Stop) -> Result<()> {
        if !self.versions.lead(stop).await? {
            return Ok(());
        }
        loop {
            let report = self.settler.run_once(&mut self.versions).await?;
            tracing::info!(
                records = report.records,
                conversions = report.conversions,
                more = report.more,
                "settled"
            );
            if !report.more {
                return Ok(());
            }
        }
    }
}

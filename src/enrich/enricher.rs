//! The enricher: one event and everything that its raw columns mean.
//!
//! In: an [`Event`] as the log holds it. Out: [`Enriched`]. Refuses: nothing; what is unknown stays unknown. Promises: the event
//! itself is not changed.

use std::sync::Arc;

use crate::config::Enrich;
use crate::enrich::agent::{Agent, Agents};
use crate::enrich::channel::{Channels, Touch};
use crate::enrich::place::{Place, Places};
use crate::enrich::verdict::{Evidence, Kind, TrafficClass, Verdict, judge};
use crate::event::{Event, EventType, SourceKind};

/// An event with what its raw columns mean.
#[derive(Clone, Debug)]
pub struct Enriched {
    /// The event, unchanged.
    pub event: Event,
    /// Where its network is.
    pub place: Arc<Place>,
    /// Which browser sent it.
    pub agent: Arc<Agent>,
    /// Names the agent string in `events`, which does not hold it; 0 for none.
    pub agent_hash: u64,
    /// How the visitor came.
    pub channel: &'static str,
    /// Who probably sent it.
    pub verdict: Verdict,
}

/// Why the enricher can't be made.
#[derive(Debug, thiserror::Error)]
pub enum EnrichError {
    /// The place database.
    #[error(transparent)]
    Place(#[from] crate::enrich::place::PlaceError),
    /// The channel rules.
    #[error(transparent)]
    Channel(#[from] crate::enrich::channel::ChannelError),
}

/// Holds the databases. One for each consumer; some 30 MB for agents, and the place database.
pub struct Enricher {
    places: Places,
    agents: Agents,
    channels: Channels,
}

impl Enricher {
    /// Opens the configured databases; takes some 0.3 s.
    pub fn open(settings: &Enrich) -> Result<Self, EnrichError> {
        let places = match settings.place_database.as_str() {
            "" => Places::none(),
            path => Places::open(path.as_ref())?,
        };
        let channels = match settings.channels_file.as_str() {
            "" => Channels::built_in(),
            path => Channels::open(path.as_ref())?,
        };
        Ok(Self { places, agents: Agents::new(), channels })
    }

    /// Makes sense of one event.
    pub fn enrich(&self, event: Event) -> Enriched {
        let place = match event.client.network {
            // A network's server stands where it stands; the customer doesn't.
            Some(_) if event.source == SourceKind::S2s => Arc::default(),
            Some(network) => self.places.lookup(network.address()),
            None => Arc::default(),
        };
        let agent = self.agents.parse(&event.client.agent);
        let channel = self.channels.classify(&touch(&event)).channel.as_str();
        let mut verdict = judge(&Evidence {
            method: &event.client.method,
            declared: agent.declared,
            purpose: &event.client.purpose,
            kind: kind(&event),
        });
        // Theirs or ours: kept, and in no figure.
        if event.partner.as_ref().is_some_and(|partner| partner.test) {
            verdict.class = TrafficClass::Test;
        }
        let agent_hash = hash(&event.client.agent);
        Enriched { event, place, agent, agent_hash, channel, verdict }
    }
}

fn hash(agent: &str) -> u64 {
    if agent.is_empty() {
        return 0;
    }
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&blake3::hash(agent.as_bytes()).as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}

fn touch(event: &Event) -> Touch<'_> {
    let Event { promotion, origin, .. } = event;
    Touch {
        registered: None,
        affiliate: !promotion.affiliate.is_empty(),
        from_email_link: !promotion.mailing.is_empty(),
        click_ids: &origin.click_ids,
        utm_source: &origin.utm_source,
        utm_medium: &origin.utm_medium,
        utm_campaign: &origin.utm_campaign,
        referrer_host: &origin.referrer_host,
        referrer_path: &origin.referrer_path,
        referrer_query: None,
        page_host: &origin.landing_host,
    }
}

fn kind(event: &Event) -> Kind {
    match (event.event_type, event.source) {
        (_, SourceKind::Manual) => Kind::Server,
        (EventType::Click, _) => Kind::Click,
        (EventType::EmailOpen, _) => Kind::Open,
        (EventType::Impression | EventType::FormView, _) => Kind::Impression,
        (
            EventType::Lead
            | EventType::Complaint
            | EventType::ServiceContact
            | EventType::Unsubscribe,
            SourceKind::WebForm,
        ) => Kind::Form,
        (_, SourceKind::S2s) => Kind::Server,
        _ => Kind::Conversion,
    }
}

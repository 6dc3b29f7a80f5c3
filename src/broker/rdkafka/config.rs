//! librdkafka configurations made of the properties of a run, and the clients created from them.

use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, ClientContext};

use super::error::{Told, describe};
use crate::broker::BrokerError;
use crate::broker::settings::{ClientSettings, Properties};
use crate::scenario::known::{self, Treatment};

impl Properties {
    /// The librdkafka configuration of the properties whose values may be shown, without those that load code.
    pub(super) fn open(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        let is_plain = |name: &str| !matches!(known::treatment(name), Some(Treatment::Needs(_)));
        for (name, setting) in self.all().filter(|(name, _)| is_plain(name)) {
            if setting.source.is_open() {
                config.set(name, &setting.value);
            }
        }
        config
    }

    /// The librdkafka configuration of all properties.
    pub(super) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        if tracing::enabled!(tracing::Level::DEBUG) {
            // Lets librdkafka's debug lines through: those of its default, or those that `debug` selects.
            config.set_log_level(RDKafkaLogLevel::Debug);
        }
        for (name, setting) in self.all() {
            config.set(name, &setting.value);
        }
        config
    }
}

impl ClientSettings {
    /// Creates a client with the default context. The error contains no value from outside the scenario.
    pub(super) fn create<T>(&self, config: &ClientConfig) -> Result<T, BrokerError>
    where
        T: FromClientConfigAndContext<Told>,
    {
        self.create_with(config, Told::new(self.hidden()))
    }

    /// Creates a client with the given context.
    pub(super) fn create_with<C, T>(
        &self,
        config: &ClientConfig,
        context: C,
    ) -> Result<T, BrokerError>
    where
        C: ClientContext,
        T: FromClientConfigAndContext<C>,
    {
        config.create_with_context(context).map_err(|error| {
            let said = match &error {
                KafkaError::ClientCreation(said) => self.hidden().hide(said),
                other => describe(other),
            };
            BrokerError::fatal(format!("client not created: {said}"))
        })
    }
}

//! Error messages of librdkafka, without what must not be repeated.

use rdkafka::error::KafkaError;

/// Returns why something failed. Omits the values of settings: one may be a password.
#[must_use]
pub fn why(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, setting, _) => format!("the setting `{setting}` is not understood"),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::ClientConfig;
    use rdkafka::producer::BaseProducer;

    #[test]
    fn a_setting_is_named_and_its_value_is_not() {
        let mut config = ClientConfig::new();
        config.set("sasl.pasword", "hunter2");
        let refused = config.create::<BaseProducer>().map(drop).unwrap_err();
        assert_eq!(why(&refused), "the setting `sasl.pasword` is not understood");
    }
}

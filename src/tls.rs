//! The certificate of HTTPS and RTMPS. It can be replaced while the node runs; connections that are open keep theirs.

use std::sync::Arc;

use anyhow::Context;
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use onmic_config::Http;

use crate::reload::Reload;

/// The TLS configuration of a node.
pub struct Tls {
    /// What both listeners use.
    pub config: Arc<ServerConfig>,
    /// The files of the certificate and its key.
    pub files: Reload,
}

impl Tls {
    /// Returns the TLS configuration of the certificate in `http`, if there is one.
    pub fn new(http: &Http) -> anyhow::Result<Option<Self>> {
        if http.tls_certificate.is_empty() {
            return Ok(None);
        }
        let paths = [&http.tls_certificate, &http.tls_key].map(Into::into).to_vec();
        let (config, files) = Reload::begin("the certificate", paths, |files| {
            let current = Arc::new(Current(RwLock::new(Arc::new(certified(files)?))));
            let mut config =
                ServerConfig::builder().with_no_client_auth().with_cert_resolver(current.clone() as Arc<_>);
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            let replace = move |files: &[Vec<u8>]| {
                *current.0.write() = Arc::new(certified(files)?);
                Ok(())
            };
            Ok((Arc::new(config), Box::new(replace) as _))
        })
        .context("http.tls_certificate and http.tls_key cannot be used")?;
        Ok(Some(Self { config, files }))
    }
}

/// The certificate that new connections get.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

/// Reads a chain of certificates and the key of the first of them, both as PEM.
fn certified(files: &[Vec<u8>]) -> anyhow::Result<CertifiedKey> {
    let [chain, key] = files else { anyhow::bail!("a certificate has two files") };
    let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>().context("the chain is not PEM")?;
    let key = PrivateKeyDer::from_pem_slice(key).context("the key is not PEM")?;
    CertifiedKey::from_der(chain, key, &default_provider()).context("the certificate and the key do not fit together")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem() -> [Vec<u8>; 2] {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        [made.cert.pem().into_bytes(), made.signing_key.serialize_pem().into_bytes()]
    }

    #[test]
    fn a_certificate_needs_its_own_key() {
        let ([chain, key], [_, other]) = (pem(), pem());
        assert!(certified(&[chain.clone(), key.clone()]).is_ok());
        for files in [[chain.clone(), other], [chain, Vec::new()], [Vec::new(), key]] {
            assert!(certified(&files).is_err());
        }
    }
}

//! The certificates and keys of one control plane, made anew for every start.

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// All that the API server needs to serve and to sign, in PEM.
#[derive(Debug)]
pub struct Certificates {
    /// The authority that clients trust.
    pub authority: String,
    /// The API server's certificate.
    pub server: String,
    /// The key of [`Self::server`].
    pub server_key: String,
    /// What service accounts' tokens are signed with. An elliptic curve key, which the API server takes as it takes RSA.
    pub token_key: String,
    /// What such tokens are checked with.
    pub token_public_key: String,
}

impl Certificates {
    /// Makes a set for an API server on the loopback address, which nodes of [`crate::node`] reach at the gateway's.
    pub fn generate() -> Result<Self, rcgen::Error> {
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.distinguished_name.push(DnType::CommonName, "rehost test authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_certificate = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);

        let server_key = KeyPair::generate()?;
        let gateway = crate::hosts::GATEWAY.to_string();
        let names = ["127.0.0.1", "localhost", "kubernetes.default.svc", &gateway];
        let mut server = CertificateParams::new(names.map(str::to_owned))?;
        server.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_certificate = server.signed_by(&server_key, &issuer)?;

        let token_key = KeyPair::generate()?;
        Ok(Self {
            authority: authority_certificate.pem(),
            server: server_certificate.pem(),
            server_key: server_key.serialize_pem(),
            token_public_key: token_key.public_key_pem(),
            token_key: token_key.serialize_pem(),
        })
    }
}

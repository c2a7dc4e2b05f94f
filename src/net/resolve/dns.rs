//! DNS, by way of hickory: the cache and the wire are its work, the search list and the patience
//! are ours.

use super::name::HostName;
use super::{Answer, ResolveError};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ResolveHosts, ServerOrderingStrategy};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// RFC 8305 section 3: how long the second address family is waited for once the first is there.
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// "No such name" is believed for this long at most, whatever the zone says: a party whose record
/// is made a minute later must not stay unknown for hours.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(5);

/// An address is believed for this long at most (RFC 8767 section 4 has days; a party that moves
/// should not have to wait for a mistaken TTL).
const MAX_POSITIVE_TTL: Duration = Duration::from_secs(3600);

/// Names held in the cache. Clients can choose names (`$1.svc`); the least used go first.
const CACHE_SIZE: u64 = 8192;

/// Addresses taken of one answer.
const MAX_ADDRESSES: usize = 64;

/// One resolv.conf.
pub(super) struct Dns {
    resolver: TokioResolver,
    search: Vec<Name>,
    ndots: usize,
}

impl Dns {
    /// From the bytes of a resolv.conf (resolv.conf(5)): nameserver, search, domain, options
    /// ndots, timeout, attempts. `port`: of all name servers, 53 but in tests.
    pub(super) fn open(resolv_conf: &[u8], port: u16) -> Result<Dns, String> {
        let (mut config, mut options) =
            parse_resolv_conf(resolv_conf).map_err(|e| e.to_string())?;
        for server in &mut config.name_servers {
            for connection in &mut server.connections {
                connection.port = port;
            }
        }
        options.use_hosts_file = ResolveHosts::Never;
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        options.cache_size = CACHE_SIZE;
        options.positive_max_ttl = Some(MAX_POSITIVE_TTL);
        options.negative_max_ttl = Some(MAX_NEGATIVE_TTL);
        options.case_randomization = false;
        let mut search = std::mem::take(&mut config.search);
        if search.is_empty() {
            search.extend(config.domain.take());
        }
        config.domain = None;
        let ndots = options.ndots;
        let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map_err(|e| e.to_string())?;
        Ok(Dns {
            resolver,
            search,
            ndots,
        })
    }

    /// The first of the full names that has an address.
    pub(super) async fn lookup(&self, name: &Arc<str>, host: &HostName) -> Answer {
        let names = self.full_names(host);
        let mut failure = None;
        for full in &names {
            match self.both_families(full).await {
                Ok(ips) if !ips.is_empty() => return Ok(ips.into()),
                Ok(_) => {}
                // A name server that fails for one name of the list may know the next one.
                Err(e) => failure = failure.or(Some(e)),
            }
        }
        Err(match failure {
            Some(e) => ResolveError::Failed {
                name: name.clone(),
                cause: e.to_string(),
            },
            None => ResolveError::NotFound {
                name: name.clone(),
                asked: names
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", "),
            },
        })
    }

    /// resolv.conf(5): a name with at least `ndots` dots is first tried as it is, any other one
    /// last.
    fn full_names(&self, host: &HostName) -> Vec<Name> {
        let Ok(mut own) = Name::from_ascii(&host.text) else {
            return Vec::new();
        };
        let searched = self.search.iter().filter_map(|domain| {
            let mut full = own.clone().append_domain(domain).ok()?;
            full.set_fqdn(true);
            Some(full)
        });
        let mut names: Vec<Name> = if host.absolute {
            Vec::new()
        } else {
            searched.collect()
        };
        own.set_fqdn(true);
        let dots = host.text.bytes().filter(|b| *b == b'.').count();
        let place = if dots >= self.ndots { 0 } else { names.len() };
        names.insert(place, own);
        names
    }

    /// A and AAAA at once; the one that is there does not wait long for the other.
    async fn both_families(&self, name: &Name) -> Result<Vec<IpAddr>, NetError> {
        let mut v6 = std::pin::pin!(self.one_family(name, RecordType::AAAA));
        let mut v4 = std::pin::pin!(self.one_family(name, RecordType::A));
        let (first, second) = tokio::select! {
            first = &mut v6 => (first, Second::V4),
            first = &mut v4 => (first, Second::V6),
        };
        let rest = async {
            match second {
                Second::V4 => v4.await,
                Second::V6 => v6.await,
            }
        };
        match first {
            Ok(mut ips) if !ips.is_empty() => {
                if let Ok(Ok(more)) = timeout(RESOLUTION_DELAY, rest).await {
                    ips.extend(more);
                }
                Ok(ips)
            }
            // Nothing yet: the other one decides, but an error of the first is not forgotten.
            first => match rest.await {
                Ok(ips) if ips.is_empty() => first,
                Err(e) if first.is_ok() => Err(e),
                other => other.or(first),
            },
        }
    }

    /// Empty: no such name, or no address of this family.
    async fn one_family(&self, name: &Name, family: RecordType) -> Result<Vec<IpAddr>, NetError> {
        match self.resolver.lookup(name.clone(), family).await {
            Ok(found) => Ok(found
                .answers()
                .iter()
                .filter_map(|record| record.data.ip_addr())
                .map(|ip| ip.to_canonical())
                .take(MAX_ADDRESSES)
                .collect()),
            Err(e) if e.is_no_records_found() => Ok(Vec::new()),
            Err(e) => Err(e),
        }
    }
}

enum Second {
    V4,
    V6,
}

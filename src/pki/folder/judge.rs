//! What would come of an order, before anything is made.

use super::super::bundle::Order;
use super::super::request::Request;
use super::super::{Moment, Name, PkiError};
use super::Folder;
use super::policy::{self, Waived};

impl Folder {
    /// Whether [`super::Locked::issue`], or with a request [`super::Locked::sign`], would take an order
    /// whose names the operator said.
    ///
    /// # Errors
    /// Of those, as far as they come of the order and what was issued before;
    /// [`PkiError::AuthorityEnded`].
    pub fn check(
        &self,
        order: &Order,
        hub: Option<&Name>,
        request: Option<&Request>,
    ) -> Result<(), PkiError> {
        let waived = match request {
            Some(request) => {
                request.check_layout(order.layout())?;
                Waived::signing((true, false))
            }
            None => Waived::issuing(hub),
        };
        policy::check(&self.state, order, waived)?;
        let ends = self.ends()?;
        match ends <= Moment::now() {
            true => Err(PkiError::AuthorityEnded(ends.to_string())),
            false => Ok(()),
        }
    }
}

impl<'w> Waived<'w> {
    /// For a new certificate, all of which the operator said.
    pub(super) fn issuing(hub: Option<&'w Name>) -> Waived<'w> {
        Waived {
            hubs: hub.map_or(&[], std::slice::from_ref),
            lends: true,
            said: true,
            organization: true,
            ..Waived::default()
        }
    }

    /// For a request; whether names and organisation were said.
    pub(super) fn signing((said, organization): (bool, bool)) -> Waived<'w> {
        Waived {
            said,
            organization,
            ..Waived::default()
        }
    }
}

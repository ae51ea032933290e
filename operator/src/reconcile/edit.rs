//! What an edit changed of the tolerances.
//!
//! The workers' copy of the StockWatch says what was before, also to an operator that was away. So it is replaced only
//! once the status lists the edit.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Error;
use kube::api::Api;
use stockwatch_crds::v1alpha1::ToleranceEdit;
use stockwatch_crds::{Spec, StockWatch, tolerance_edits};

use super::apply::ApplyError;
use super::write;
use crate::bounded::{CallError, READ, bounded};
use crate::context::Context;
use crate::key::Key;
use crate::names;
use crate::refusals::is_refusal;
use crate::resources::{Desired, Kind, Owner, SPEC_KEY};
use crate::status::{Condition, Reason, said};
use crate::store::Whose;

/// Returns the changes of tolerances since the workers' copy was written, if the status does not list them. The copy is
/// read only when it is about to be replaced.
pub(super) async fn unlisted(
    context: &Context,
    owner: &Owner,
    stockwatch: &StockWatch,
    spec: &Spec,
    copy: &Desired,
) -> Result<Vec<ToleranceEdit>, ApplyError> {
    let key = Key::new(&owner.namespace, &owner.name);
    let generation = stockwatch.metadata.generation.unwrap_or_default();
    let mut listed = stockwatch.status.iter().flat_map(|status| &status.edits);
    if listed.any(|edit| edit.generation == generation) {
        return Ok(Vec::new());
    }
    let known = context.remember(&key, |memory| memory.edits.clone());
    if let Some((_, edits)) = known.filter(|(of, _)| *of == generation) {
        return Ok(edits);
    }
    let is_replaced = context.store.owned_of(&key, Kind::ConfigMap).is_some_and(|found| {
        found.whose(&owner.name, &owner.uid) == Whose::Ours && found.hash.as_ref() != Some(&copy.hash)
    });
    if !is_replaced {
        return Ok(Vec::new());
    }
    let before = read(context, &key, owner).await?;
    let before = before.filter(|before| before.metadata.generation.is_some_and(|of| of < generation));
    let before = before.and_then(|before| Spec::parse(&before).ok());
    let time = write::now().0.to_string();
    let edits = before.map_or(Vec::new(), |before| tolerance_edits(&before, spec, generation, &time));
    context.remember(&key, |memory| memory.edits = Some((generation, edits.clone())));
    Ok(edits)
}

/// Whether the API server refuses objects of this StockWatch, maybe the copy: then it is tried at once, so that a refusal
/// goes on being said.
pub(super) fn is_refused(stockwatch: &StockWatch) -> bool {
    let ready = stockwatch.status.as_ref().and_then(|status| said(status, Condition::Ready));
    ready.is_some_and(|ready| ready.reason == Reason::ObjectRefused.as_str())
}

/// The workers' copy, if it can be read and is of this StockWatch.
async fn read(context: &Context, key: &Key, owner: &Owner) -> Result<Option<StockWatch>, ApplyError> {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &key.namespace);
    let found = match bounded(READ, api.get_opt(&names::owned(&key.name))).await {
        Ok(found) => found,
        Err(CallError::Api(Error::Api(status))) if is_refusal(&status) => {
            tracing::warn!(stockwatch = %key, error = %status, "the edit is not listed: what was before cannot be read");
            None
        }
        Err(source) => return Err(ApplyError::Read { kind: Kind::ConfigMap, source }),
    };
    let text = found.and_then(|found| found.data?.remove(SPEC_KEY));
    let copy: Option<StockWatch> = text.and_then(|text| serde_json::from_slice(text.as_bytes()).ok());
    Ok(copy.filter(|copy| copy.metadata.uid.as_ref() == Some(&owner.uid)))
}

//! Opening, joining, paying, forming.

use crate::support::{served, with};
use serde_json::json;

served! {
    async fn the_last_paid_seat_forms_the_room_once(app: &mut TestApp) {
        let campaign = app.publish_whole(&with(3, 10, &json!({}))).await;
        let (ada, seat) = app.opened_and_paid(&campaign).await;
        let room = app.room(&seat.room).await;
        assert_eq!((room["state"].as_str(), room["seats_taken"].as_i64(), room["seats_paid"].as_i64()), (Some("open"), Some(1), Some(1)));
        let (bob, second) = app.joined_and_paid(&seat.room).await;
        let (eve, third) = app.joined(&seat.room).await;
        assert_eq!(app.room(&seat.room).await["seats_left"], 0);
        assert_eq!(app.state_of(&ada, &seat.order).await, "paid");
        app.pay(&eve, &third.order).await.expect(200);
        app.pay(&eve, &third.order).await.expect(200);
        let room = app.room(&seat.room).await;
        assert_eq!((room["state"].as_str(), room["seats_paid"].as_i64()), (Some("formed"), Some(3)));
        for (shopper, order) in [(&ada, &seat.order), (&bob, &second.order), (&eve, &third.order)] {
            assert_eq!(app.state_of(shopper, order).await, "confirmed");
        }
        assert_eq!(app.stock(&campaign).await, (7, 0, 3));
        assert_eq!(app.report(&campaign).await["rooms"], json!({"formed": 1}));
    }
}
